package wasi

import "github.com/appserver-go/appserver/host/component/abi"

// network is a wasi:sockets/network.network, with which nothing can be done.
type network struct{}

// Keep implements abi.Keeper.
func (n *network) Keep() any { return n }

// accessDenied is the error-code of that name.
const accessDenied = 1

func denied(*abi.Call, []any) any { return abi.Err(abi.Enum(accessDenied)) }

// sockets are the functions of wasi:sockets that a guest can call without having a socket.
var sockets = map[string]abi.Func{
	"instance-network#instance-network":   func(*abi.Call, []any) any { return &network{} },
	"ip-name-lookup#resolve-addresses":    denied,
	"tcp-create-socket#create-tcp-socket": denied,
	"udp-create-socket#create-udp-socket": denied,
}
