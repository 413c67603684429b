module github.com/appserver-go/appserver/guests/httpbin

go 1.26.0

require (
	github.com/appserver-go/appserver v0.0.0
	github.com/mccutchen/go-httpbin/v2 v2.26.0
)

replace github.com/appserver-go/appserver => ../..
