package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// isTLS reports whether a connection was given up because of its certificate or what was said for it.
func isTLS(err error) bool {
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		name        x509.HostnameError
		record      tls.RecordHeaderError
		alert       tls.AlertError
	)
	return errors.As(err, &certificate) || errors.As(err, &authority) || errors.As(err, &name) || errors.As(err, &record) || errors.As(err, &alert)
}
