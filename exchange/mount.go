package exchange

// PrefixField tells guests that know no SCRIPT_NAME of it.
const PrefixField = "X-Forwarded-Prefix"

// Mount makes the request one for a guest that clients see at a path: prefix is added to ScriptName and told in PrefixField.
func (r *Request) Mount(prefix string) {
	r.ScriptName += prefix
	r.Fields.Set(PrefixField, r.ScriptName)
}

// Retarget makes rest, what is left of the target behind a prefix, the Target. RawTarget stays what it was.
func (r *Request) Retarget(rest string) {
	if r.Received == "" {
		r.Received = r.Target
	}
	if rest == "" || rest[0] == '?' {
		rest = "/" + rest
	}
	r.Target = rest
}
