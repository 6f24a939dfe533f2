package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/audit"
	"symbi.dev/symbi/internal/store"
)

var reading = audit.Event{
	Action: agent.ActLogRead, Principal: agent.PrincipalAdmin, Namespace: "default", Agent: "a", Resource: "t", Source: "10.0.0.1",
	Decision: &agent.Decision{Verdict: agent.Allow},
}

var knocking = audit.Event{Action: "login", Principal: agent.PrincipalAnonymous, Source: "10.0.0.2"}

// tallied is what an event says it stands for.
type tallied struct {
	Count       int64
	Source      string
	First, Last time.Time
}

func tally(t *testing.T, e store.Event) tallied {
	t.Helper()
	var out tallied
	if err := json.Unmarshal(e.Details, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReadsAndFailedLoginsAreOneEventASortAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := new(journal)
		l, _ := started(t, j)
		began := time.Now()
		for range 500 {
			l.Seen(reading)
		}
		<-time.After(30 * time.Second) // of the bubble's clock
		for range 70 {
			l.Seen(knocking)
			l.Seen(reading)
		}
		if n := len(j.events()); n != 0 {
			t.Fatalf("%d on record before the minute is over", n)
		}
		<-time.After(31 * time.Second)
		on := j.events()
		if len(on) != 2 {
			t.Fatalf("on record: %v", on)
		}
		read, knocks := on[0], on[1]
		if c := tally(t, read); c.Count != 570 || c.Source != "10.0.0.1" || !c.First.Equal(began) || !c.Last.Equal(began.Add(30*time.Second)) {
			t.Errorf("reads: %+v", c)
		}
		if read.Kind != "gathered" || read.Outcome != "ok" || read.Resource != "t" || read.Action != agent.ActLogRead {
			t.Errorf("reads: %+v", read)
		}
		if c := tally(t, knocks); c.Count != 70 || knocks.Outcome != "denied" || knocks.Action != "login" {
			t.Errorf("failed logins: %+v %+v", knocks, c)
		}
		<-time.After(2 * time.Minute)
		if n := len(j.events()); n != 2 {
			t.Errorf("%d on record after quiet minutes", n)
		}
		l.Stop()
	})
}

func TestADeniedReadIsCountedApart(t *testing.T) {
	t.Parallel()
	j := new(journal)
	l, _ := started(t, j)
	l.Seen(reading)
	denied := reading
	denied.Decision = &agent.Decision{Verdict: agent.Deny}
	l.Seen(denied)
	l.Stop()
	words := map[string]int{}
	for _, e := range j.events() {
		words[e.Outcome]++
	}
	if words["ok"] != 1 || words["denied"] != 1 {
		t.Errorf("on record: %v", j.events())
	}
}

func TestAFloodOfSourcesIsBoundedAndStillCounted(t *testing.T) {
	t.Parallel()
	j := new(journal)
	l, _ := started(t, j)
	const flood = 50_000
	for i := range flood {
		e := knocking
		e.Source = fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
		l.Seen(e)
	}
	if _, err := l.Attempt(t.Context(), suspend); err != nil {
		t.Errorf("a flood of logins stops what is done: %v", err)
	}
	l.Stop()
	var total, others int64
	for _, e := range j.events() {
		if e.Kind != "gathered" {
			continue
		}
		c := tally(t, e)
		total += c.Count
		if c.Source == "others" {
			others = c.Count
		}
	}
	if n := len(j.events()); n > 2100 || total != flood || others < flood-2100 {
		t.Errorf("%d events for %d of %d logins, %d of them by others", n, total, flood, others)
	}
}

func TestWhatWasGatheredWaitsForAStoreThatComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := new(journal)
		j.failing(errors.New("gone"))
		l, _ := started(t, j)
		l.Seen(reading)
		<-time.After(61 * time.Second)
		l.Seen(reading)
		j.failing(nil)
		<-time.After(time.Minute)
		if on := j.events(); len(on) != 1 || tally(t, on[0]).Count != 2 {
			t.Errorf("on record: %v", on)
		}
		l.Stop()
	})
}

func TestAnAttemptWaitsForOneGroupOfGatheredEventsAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := standing()
		l, _ := started(t, j)
		for i := range 1500 {
			e := knocking
			e.Source = fmt.Sprint(i)
			l.Seen(e)
		}
		<-j.begun // a minute later, by the bubble's clock
		waiting := make(chan error, 1)
		go func() {
			_, err := l.Attempt(t.Context(), suspend)
			waiting <- err
		}()
		synctest.Wait()
		j.letGo <- struct{}{} // the first group is written
		<-j.begun
		j.letGo <- struct{}{}
		if err := <-waiting; err != nil {
			t.Fatal(err)
		}
		if groups := j.groups(); len(groups) != 2 || groups[1][0].Kind != "attempt" {
			t.Errorf("%d writes, the last of %d events", len(groups), len(groups[len(groups)-1]))
		}
		close(j.letGo)
		l.Stop()
		if n := len(j.events()); n != 1501 {
			t.Errorf("%d on record", n)
		}
	})
}
