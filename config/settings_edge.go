package config

// Settings of what comes before a request: TLS, HTTP/2, and the proxies that speak for clients.

func tlsSettings() []Setting {
	return []Setting{
		{
			Key: "certfile", Section: SectionTLS, Kind: String, Reload: Workers,
			Help: "certificate with its chain, in PEM; makes the server speak https",
			Doc: "It counts for all addresses of `bind`. The server reads it, and `keyfile`, with the rights of whoever started it, and " +
				"hands it to the workers; they need no right to read it. When the files change, new connections get the new certificate " +
				"without a reload; while the two do not belong together, the old one stays and the log says so.",
		},
		{
			Key: "keyfile", Section: SectionTLS, Kind: String, Reload: Workers,
			Help: "private key of certfile, in PEM; certfile itself without it",
			Doc:  "Keys with a password cannot be used.",
		},
		{
			Key: "ca_certs", Section: SectionTLS, Kind: String, Reload: Workers,
			Help: "certificates of those who sign clients' certificates, in PEM",
			Doc:  "It goes with `cert_reqs`.",
		},
		{
			Key: "cert_reqs", Section: SectionTLS, Kind: Enum, Values: []string{"none", "optional", "required"}, Reload: Workers,
			Default: "none",
			Help:    "whether clients need a certificate: none, optional or required",
			Doc: "A certificate that is shown must be signed by one of `ca_certs`, or the handshake fails. gunicorn has numbers for these: " +
				"0, 1 and 2.",
		},
		{
			Key: "tls_min_version", Section: SectionTLS, Kind: Enum, Values: []string{"1.2", "1.3"}, Reload: Workers, Default: "1.2",
			Help: "oldest version of TLS that is spoken: 1.2 or 1.3",
			Doc:  "Ciphers are Go's choice of those that are safe, and the best that both sides have.",
		},
		{
			Key: "http_protocols", Section: SectionTLS, Kind: List, Reload: Workers, Default: "h2,h1",
			Help: "versions of HTTP over TLS: h1 and h2, the preferred first",
			Doc:  "The client chooses one of them in the handshake (ALPN).",
		},
		{
			Key: "http2_cleartext", Section: SectionTLS, Kind: Enum, Values: []string{"off", "prior-knowledge"}, Reload: Workers,
			Default: "off",
			Help:    "HTTP/2 without TLS: off or prior-knowledge",
			Doc: "`prior-knowledge` is for proxies and clients that begin with HTTP/2 without asking; HTTP/1 is served beside it. The " +
				"upgrade from HTTP/1.1, which RFC 9113 has withdrawn, is not.",
		},
		{
			Key: "http2_max_concurrent_streams", Section: SectionTLS, Kind: Int, Min: 1, Max: 10_000, Reload: Workers, Default: "100",
			Help: "requests that an HTTP/2 connection may have open at once",
			Doc: "They share the threads of the worker with everybody else's: of one connection at most as many are in the guest or in " +
				"the queue as the worker has threads, the others wait.",
		},
	}
}

func trustSettings() []Setting {
	return []Setting{
		{
			Key: "forwarded_allow_ips", Section: SectionTrust, Kind: List, Reload: Workers,
			Default: "127.0.0.1,::1", Fallback: "FORWARDED_ALLOW_IPS",
			Help: "proxies whose word about the client is taken: addresses, networks or *",
			Doc: "Networks are written like `10.0.0.0/8`. Peers on unix sockets are always trusted. From any other peer X-Forwarded-*, Forwarded, " +
				"X-Real-IP and the fields that the settings below name are removed. `*` is for servers " +
				"that only a proxy can reach. The environment variable `FORWARDED_ALLOW_IPS` replaces the default.",
		},
		{
			Key: "secure_scheme_headers", Section: SectionTrust, Kind: List, Reload: Workers,
			Default: "X-Forwarded-Protocol=ssl,X-Forwarded-Proto=https,X-Forwarded-Ssl=on",
			Help:    "fields by which a trusted proxy tells that the client speaks https",
			Doc:     "Each is a name and the value that means https; any other value means http. Requests in which they contradict each other get 400.",
		},
		{
			Key: "real_ip_header", Section: SectionTrust, Kind: String, Reload: Workers, Default: "X-Forwarded-For",
			Help: "field in which a trusted proxy tells the client's address; empty for none",
			Doc: "The address is the guest's remote address and the access log's. A list is read from its end: the first address that is not one " +
				"of `forwarded_allow_ips` is the client. `Forwarded` is read by RFC 7239. Name a field that your proxy sets or appends to in every " +
				"request; what it lets pass, clients can write. In gunicorn the remote address is always the peer's.",
		},
		{
			Key: "real_host_header", Section: SectionTrust, Kind: String, Reload: Workers,
			Help: "field in which a trusted proxy tells the host; empty for Host",
			Doc:  "`X-Forwarded-Host` is for proxies that set it in every request. Most pass on `Host` instead.",
		},
		{
			Key: "proxy_protocol", Section: SectionTrust, Kind: Enum, Values: []string{"off", "v1", "v2", "auto"}, Reload: Workers,
			Default: "off",
			Help:    "PROXY headers before connections: off, v1, v2 or auto",
			Doc: "`auto` takes either version. A peer in `proxy_allow_ips` must begin with a header: its connection is closed without one, and " +
				"the log says so. The client that the header tells of is the peer for everything else, `forwarded_allow_ips` too.",
		},
		{
			Key: "proxy_allow_ips", Section: SectionTrust, Kind: List, Reload: Workers, Default: "127.0.0.1,::1",
			Help: "proxies that send PROXY headers: addresses, networks or *",
			Doc:  "Peers on unix sockets are always among them. A header from anybody else is refused as a bad request.",
		},
	}
}
