// Package wasihttp implements wasi:http 0.2 (https://github.com/WebAssembly/wasi-http): it shows a guest one exchange as
// an incoming-request and a response-outparam. http.wit says which functions there are. host/component calls the guest's
// incoming-handler; everything the guest does with the request and the response happens here, on the goroutine of the
// guest, which is the one that serves the exchange.
//
// A response's head is taken when the guest sets the outparam. Its body goes to exchange.Response, which sends it when it
// is large, when the guest waits after it asked for a flush, or when it is whole.
package wasihttp
