package fault

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestHintAndCode(t *testing.T) {
	bare := New("", "no hint: %w", io.EOF)
	inner := WithCode(LoadFailed, "inner hint", "inner")
	tests := []struct {
		name string
		err  error
		hint string
		code int
	}{
		{"nil", nil, "", OK},
		{"other", io.EOF, "", Failed},
		{"fault", New("do this", "failed"), "do this", Failed},
		{"code", inner, "inner hint", LoadFailed},
		{"wrapped", fmt.Errorf("outer: %w", inner), "inner hint", LoadFailed},
		{"outer hint wins", New("outer hint", "outer: %w", inner), "outer hint", LoadFailed},
		{"outer code wins", WithCode(Usage, "", "outer: %w", inner), "inner hint", Usage},
		{"no hint anywhere", bare, "", Failed},
		{"joined", errors.Join(io.EOF, inner), "inner hint", LoadFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Hint(tt.err); got != tt.hint {
				t.Errorf("hint %q, want %q", got, tt.hint)
			}
			if got := Code(tt.err); got != tt.code {
				t.Errorf("code %d, want %d", got, tt.code)
			}
		})
	}
	if !errors.Is(bare, io.EOF) || bare.Error() != "no hint: EOF" {
		t.Errorf("%v does not wrap its cause", bare)
	}
}
