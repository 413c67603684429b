package sockets

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// sockaddr returns the address in the kernel's form. The host must be a literal address.
func (a Addr) sockaddr() (unix.Sockaddr, error) {
	if a.Network == Unix {
		return &unix.SockaddrUnix{Name: a.Path}, nil
	}
	ip, err := netip.ParseAddr(a.Host)
	if err != nil {
		return nil, err
	}
	if a.Network == TCP {
		return &unix.SockaddrInet4{Port: a.Port, Addr: ip.As4()}, nil
	}
	zone, err := zoneID(ip.Zone())
	if err != nil {
		return nil, err
	}
	return &unix.SockaddrInet6{Port: a.Port, Addr: ip.As16(), ZoneId: zone}, nil
}

// zoneID returns the index of the interface that an IPv6 zone names or numbers; 0 for none.
func zoneID(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index), nil
	}
	n, err := strconv.ParseUint(zone, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("find network interface %q: %w", zone, unix.ENODEV)
	}
	return uint32(n), nil
}

// zoneName is the inverse of zoneID.
func zoneName(id uint32) string {
	if id == 0 {
		return ""
	}
	if ifi, err := net.InterfaceByIndex(int(id)); err == nil {
		return ifi.Name
	}
	return strconv.FormatUint(uint64(id), 10)
}

// addrOf returns the address that a socket is bound to.
func addrOf(sa unix.Sockaddr) (Addr, error) {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return Addr{Network: TCP, Host: netip.AddrFrom4(sa.Addr).String(), Port: sa.Port}, nil
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr).WithZone(zoneName(sa.ZoneId))
		return Addr{Network: TCP6, Host: ip.String(), Port: sa.Port}, nil
	case *unix.SockaddrUnix:
		return Addr{Network: Unix, Path: sa.Name}, nil
	default:
		return Addr{}, fmt.Errorf("read socket address: %w", unix.EAFNOSUPPORT)
	}
}

// netAddrOf returns sa as package net shows it: *net.TCPAddr or *net.UnixAddr. An unknown family gives nil.
func netAddrOf(sa unix.Sockaddr) net.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: net.IP(sa.Addr[:]), Port: sa.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: net.IP(sa.Addr[:]), Port: sa.Port, Zone: zoneName(sa.ZoneId)}
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}
	default:
		return nil
	}
}
