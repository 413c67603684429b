package engine

import "testing"

func TestRenumber(t *testing.T) {
	const stack = ".$12(i32,i64) i32\nmod.$1()\nmod.name$5(i32)\ntest.host(i32)\n.a.$b()"
	const want = ".$11(i32,i64) i32\nmod.$0()\nmod.name$5(i32)\ntest.host(i32)\n.a.$b()"
	if got := renumber(stack, 1); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := renumber(stack, 0); got != stack {
		t.Errorf("got\n%s", got)
	}
}
