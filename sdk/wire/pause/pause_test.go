package pause

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errLate = errors.New("late")

func TestWithTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := WithTimeout(t.Context(), time.Minute, errLate)
		defer cancel()
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		if Late(ctx) {
			t.Error("late before its time")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !Late(ctx) || context.Cause(ctx) != errLate {
			t.Errorf("after its time: late %v, cause %v", Late(ctx), context.Cause(ctx))
		}
	})
}

func TestCancelIsNotLate(t *testing.T) {
	ctx, cancel := WithTimeout(t.Context(), time.Minute, errLate)
	cancel()
	if context.Cause(ctx) == errLate || ctx.Err() == nil {
		t.Errorf("cause %v", context.Cause(ctx))
	}
}

// TestHold: a held clock and those above it stand still; one beside it runs.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn, cancel := WithTimeout(t.Context(), 10*time.Minute, errLate)
		defer cancel()
		asks, cancel := WithTimeout(turn, time.Minute, errLate)
		defer cancel()
		works, cancel := WithTimeout(turn, 2*time.Minute, errLate)
		defer cancel()
		time.Sleep(30 * time.Second)
		first, second := Hold(asks), Hold(asks)
		time.Sleep(time.Hour)
		synctest.Wait()
		if Late(turn) || Late(asks) {
			t.Fatal("a clock ran while it was held")
		}
		if !Late(works) {
			t.Error("the clock beside it stood still too")
		}
		first()
		first() // counts once
		time.Sleep(time.Hour)
		synctest.Wait()
		if Late(asks) {
			t.Fatal("released by one of two holds")
		}
		second()
		time.Sleep(30*time.Second - 1)
		synctest.Wait()
		if Late(asks) {
			t.Error("late before the time that was left")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !Late(asks) || Late(turn) {
			t.Errorf("after the time that was left: call late %v, turn late %v", Late(asks), Late(turn))
		}
	})
}

func TestHoldWithoutClock(t *testing.T) {
	Hold(t.Context())()
	if Late(t.Context()) {
		t.Error("a context without a clock is late")
	}
}
