package accesslog

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// appendJSON appends the record as one JSON object. Keys whose value is unknown are left out, save status and bytes.
func appendJSON(dst []byte, r *Record) []byte {
	dst = append(dst, `{"time":"`...)
	dst = r.end().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	dst = append(dst, '"')
	dst = appendMember(dst, "remote_addr", r.peer())
	dst = appendMember(dst, "method", r.Method)
	dst = appendMember(dst, "target", r.Target)
	dst = appendMember(dst, "proto", r.Proto)
	dst = appendMember(dst, "host", r.Host)
	dst = appendCount(dst, "status", int64(r.Status))
	dst = appendCount(dst, "bytes", r.Bytes)
	dst = appendCount(dst, "duration_us", max(r.Duration, 0).Microseconds())
	dst = appendMember(dst, "request_id", r.ID)
	dst = appendMember(dst, "trace_id", traceID(r.Request.Get("Traceparent")))
	if r.PID != 0 {
		dst = appendCount(dst, "pid", int64(r.PID))
	}
	dst = appendMember(dst, "referer", r.Request.Get("Referer"))
	dst = appendMember(dst, "user_agent", r.Request.Get("User-Agent"))
	if r.Killed != "" {
		dst = append(dst, `,"killed":true`...)
		dst = appendMember(dst, "reason", r.Killed)
	}
	return append(dst, '}', '\n')
}

// traceID returns the trace of a traceparent field (W3C Trace Context), "" if it has none.
func traceID(traceparent string) string {
	if len(traceparent) < 55 || traceparent[2] != '-' || traceparent[35] != '-' {
		return ""
	}
	id := traceparent[3:35]
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ""
		}
	}
	return id
}

func appendCount(dst []byte, key string, n int64) []byte {
	return strconv.AppendInt(appendKey(dst, key), n, 10)
}

func appendMember(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	return AppendString(appendKey(dst, key), value)
}

func appendKey(dst []byte, key string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, key...)
	return append(dst, '"', ':')
}

// AppendString appends a JSON string, for whoever else writes JSON without allocating. Beyond what JSON demands (RFC 8259
// §7) it escapes all that does not print, so that a line is harmless on a terminal too. Bytes that are not UTF-8 become U+FFFD, for JSON has no bytes.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for len(s) > 0 {
		n := plainPrefix(s)
		dst, s = append(dst, s[:n]...), s[n:]
		if s == "" {
			break
		}
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ' || !strconv.IsPrint(r) || r == utf8.RuneError:
			if hi, lo := utf16.EncodeRune(r); r > 0xffff {
				dst = appendHex(append(dst, '\\', 'u'), uint32(hi), 4)
				r = lo
			}
			dst = appendHex(append(dst, '\\', 'u'), uint32(r), 4)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
