package httpwasm

import "log/slog"

// maxLogLine is the most bytes of one message that reach the log.
const maxLogLine = 8 << 10

// logNone is the log level that nothing is logged at.
const logNone = 3

// enableFeatures enables features for all requests while the guest starts and for the current one in handle_request;
// later it does nothing. It returns the features that this host supports, which are all.
func (in *instance) enableFeatures(s []uint64) {
	wanted := uint32(s[0]) & supported
	switch in.phase {
	case starting:
		in.startFeatures |= wanted
	case handlingRequest:
		if added := wanted &^ in.features; added&bufferRequest != 0 {
			in.reqBody.record(in.guest.opts.BodyLimit)
		}
		in.features |= wanted
	case handlingResponse: // too late
	}
	s[0] = uint64(supported)
}

func (in *instance) getConfig(s []uint64) {
	config, buf, limit := in.guest.opts.Config, uint32(s[0]), uint32(s[1])
	if n := len(config); uint64(n) <= uint64(limit) && n > 0 {
		copy(in.view("config", buf, uint32(n)), config)
	}
	s[0] = uint64(len(config))
}

// logLevel translates a level of the ABI; ok is false for levels at which nothing is logged.
func logLevel(level int32) (l slog.Level, ok bool) {
	switch {
	case level < 0:
		return slog.LevelDebug, true
	case level == 0:
		return slog.LevelInfo, true
	case level == 1:
		return slog.LevelWarn, true
	}
	return slog.LevelError, level < logNone
}

func (in *instance) logEnabled(s []uint64) {
	level, ok := logLevel(int32(uint32(s[0])))
	s[0] = 0
	if ok && in.guest.opts.Log.Enabled(in.ctx.get(), level) {
		s[0] = 1
	}
}

// log never fails: a message outside of memory is dropped and a long one cut.
func (in *instance) log(s []uint64) {
	level, ok := logLevel(int32(uint32(s[0])))
	ctx := in.ctx.get()
	if !ok || !in.guest.opts.Log.Enabled(ctx, level) {
		return
	}
	if text, ok := in.memory.Read(uint32(s[1]), uint32(s[2])); ok {
		in.guest.opts.GuestLog(ctx, level, string(text[:min(len(text), maxLogLine)]))
	}
}
