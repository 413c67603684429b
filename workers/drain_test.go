package workers

import (
	"testing"
	"testing/synctest"
	"time"
)

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestDrainOrdersAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDrain()
		if isClosed(d.Begun()) || d.Final() {
			t.Fatal("a new drain has begun")
		}
		start := time.Now()
		d.Begin(Order{Grace: time.Hour})
		if !isClosed(d.Begun()) || isClosed(d.Cut()) || isClosed(d.CloseIdle()) {
			t.Fatal("wrong state after the first order")
		}
		d.Begin(Order{Grace: time.Minute, Final: true, CloseIdle: true})
		d.Begin(Order{Grace: 2 * time.Hour})
		if !d.Final() || !isClosed(d.CloseIdle()) {
			t.Error("the second order was lost")
		}
		<-d.Cut()
		if got := time.Since(start); got != time.Minute {
			t.Errorf("the grace ended after %v", got)
		}
		d.Begin(Order{}) // after the end
		synctest.Wait()
		d.stop()
	})
}
