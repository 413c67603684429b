package config

// guestBoundary are the settings of what a guest may reach beyond its sandbox.
func guestBoundary() []Setting {
	return []Setting{
		{
			Key: "guest.outbound", Section: SectionGuest, Kind: List, Reload: Workers,
			Help: "URLs the guest may call: scheme, host, port and path",
			Doc: "Without any the guest calls nobody. `https://api.example.com` allows all paths there, `http://127.0.0.1:9000/v1/` those that begin " +
				"so, `https://*.example.com` all names below. Redirects are followed by guests themselves, and each must be allowed, too. A name that is allowed " +
				"must lead to a public address, see `guest.outbound_private`; addresses and localhost can be allowed as such. [boundary.md](boundary.md) has the whole of it.",
		},
		{
			Key: "guest.outbound_private", Section: SectionGuest, Kind: Bool, Reload: Workers, Default: "false",
			Help: "whether names in guest.outbound may lead to private addresses",
			Doc: "Private are the addresses of this machine, of local networks and of clouds' metadata services. Whoever controls a name controls where it leads to: " +
				"set it where names are those of your own network.",
		},
		{
			Key: "guest.outbound_timeout", Section: SectionGuest, Kind: Duration, Reload: Workers, Default: "30s", Min: shortest, Max: longest, Zero: true,
			Help: "time of a guest's call, to the end of its response",
			Doc:  "A call ends with the request it is made for in any case. 0 leaves it at that.",
		},
		{
			Key: "guest.outbound_calls", Section: SectionGuest, Kind: Int, Reload: Workers, Default: "100", Zero: true, Min: 1, Max: 1 << 20,
			Help: "number of calls a guest may make for a request",
			Doc:  "16 of them can be open at a time. 0 means any number.",
		},
		{
			Key: "guest.outbound_body", Section: SectionGuest, Kind: Bytes, Reload: Workers, Default: "32MiB", Zero: true, Min: 1,
			Help: "size of the largest body a guest sends or gets in a call",
			Doc:  "0 means no limit.",
		},
	}
}
