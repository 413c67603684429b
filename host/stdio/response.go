package stdio

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

// maxInterim is how many informational responses a guest may send before the final one.
const maxInterim = 16

// receive reads the guest's response into x. Errors are *exchange.Failure where the guest or the client is to blame,
// and what the pipe says otherwise. reuse reports whether the guest will take another request on this connection.
// conn is not nil when the guest has switched protocols: it is the client's connection from then on.
func (i *instance) receive(x *exchange.Exchange) (reuse bool, conn net.Conn, err error) {
	res, err := i.readHead(x)
	if err != nil {
		return false, nil, err
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		conn, err = upgrade(x, res)
		return false, conn, err
	}
	defer res.Body.Close()
	x.Response.Status = res.StatusCode
	x.Response.Fields = append(x.Response.Fields, fieldsOf(res.Header)...)
	if err := i.copyBody(&x.Response, res.Body); err != nil {
		return i.finishBody(err, res), nil, err
	}
	trailers := slices.DeleteFunc(fieldsOf(res.Trailer), func(f exchange.Field) bool { return !exchange.MayTrail(f.Name) })
	x.Response.Trailers = append(x.Response.Trailers, trailers...)
	if slices.Equal(res.TransferEncoding, []string{"chunked"}) {
		// What the guest did not want to give a length stays without one.
		if err := x.Response.Flush(); err != nil {
			return false, nil, exchange.SendFailure(err)
		}
	}
	return !res.Close, nil, nil
}

// readHead reads the head of the final response, or of one that switches protocols, and passes on what comes before it.
func (i *instance) readHead(x *exchange.Exchange) (*http.Response, error) {
	for range maxInterim + 1 {
		i.limit.left = exchange.MaxResponseHeadBytes
		res, err := http.ReadResponse(i.response, &http.Request{Method: x.Request.Method})
		i.limit.left = -1
		switch {
		case errors.Is(err, errHeadTooLong):
			return nil, exchange.Fail(502, exchange.BadResponse, "the guest's response: %w", errHeadTooLong)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, err // the guest has ended
		case err != nil:
			return nil, exchange.Fail(502, exchange.BadResponse, "what the guest printed is no HTTP response: %w", err)
		case res.StatusCode >= 200, res.StatusCode == http.StatusSwitchingProtocols:
			return res, nil
		}
		if err := inform(x, res); err != nil {
			return nil, err
		}
	}
	return nil, exchange.Fail(502, exchange.BadResponse, "the guest sent more than %d informational responses", maxInterim)
}

// copyBody passes the body on, and sends what there is before it waits for more.
func (i *instance) copyBody(r *exchange.Response, body io.Reader) error {
	buf := make([]byte, readBuffer)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, err := r.Write(buf[:n]); err != nil {
				return exchange.SendFailure(err)
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return err // the guest has ended
		case err != nil:
			return exchange.Fail(502, exchange.BadResponse, "the body of the guest's response: %w", err)
		case !i.quiet():
			continue
		}
		if err := r.Flush(); err != nil {
			return exchange.SendFailure(err)
		}
	}
}

// finishBody lets a guest finish a response that the client, who is gone, or a rule of HTTP keeps from being sent; it
// shall not lose what it has in memory for that. It reports whether the guest can go on.
func (i *instance) finishBody(err error, res *http.Response) (reuse bool) {
	if f := (*exchange.Failure)(nil); !errors.As(err, &f) {
		return false // the guest has ended
	}
	t := time.AfterFunc(patience, i.out.cut)
	_, err = io.Copy(io.Discard, res.Body)
	return t.Stop() && err == nil && !res.Close
}
