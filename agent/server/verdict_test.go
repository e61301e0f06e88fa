package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

// TestVerdicts: each server is a letter for the hash of each of its parts, "-" for a part that it does not have, "!" for one that it
// cannot read; "?" is a server that was not compared, "/" before it one of another build, "n" before it one without a vote.
func TestVerdicts(t *testing.T) {
	const (
		right, different, damaged = structs.VerdictRight, structs.VerdictDifferent, structs.VerdictDamaged
		undecided, not            = structs.VerdictUndecided, structs.VerdictNotCompared
	)
	for _, c := range []struct {
		servers string
		outcome structs.VerifyOutcome
		want    []structs.VerifyVerdict
		differ  string // the parts that do
	}{
		{"a", structs.VerifyEqual, []structs.VerifyVerdict{right}, ""},
		{"!", structs.VerifyDifferent, []structs.VerifyVerdict{damaged}, "0"},
		{"aa aa aa", structs.VerifyEqual, []structs.VerifyVerdict{right, right, right}, ""},
		{"aa ab aa", structs.VerifyDifferent, []structs.VerifyVerdict{right, different, right}, "1"},
		{"ba ab aa", structs.VerifyDifferent, []structs.VerifyVerdict{different, different, right}, "0 1"},
		{"a b c", structs.VerifyUndecided, []structs.VerifyVerdict{undecided, undecided, undecided}, "0"},
		{"a b", structs.VerifyUndecided, []structs.VerifyVerdict{undecided, undecided}, "0"},
		{"a !", structs.VerifyDifferent, []structs.VerifyVerdict{right, damaged}, "0"},
		{"a ! b", structs.VerifyDifferent, []structs.VerifyVerdict{undecided, damaged, undecided}, "0"},
		{"! ! !", structs.VerifyDifferent, []structs.VerifyVerdict{damaged, damaged, damaged}, "0"},
		{"aa a- aa", structs.VerifyDifferent, []structs.VerifyVerdict{right, different, right}, "1"},
		{"a- aa a-", structs.VerifyDifferent, []structs.VerifyVerdict{right, different, right}, "1"},
		{"a ? a", structs.VerifyIncomplete, []structs.VerifyVerdict{right, not, right}, ""},
		{"a ? b", structs.VerifyUndecided, []structs.VerifyVerdict{undecided, not, undecided}, "0"},
		{"? ? b", structs.VerifyIncomplete, []structs.VerifyVerdict{not, not, right}, ""},
		{"a /b a", structs.VerifyIncomplete, []structs.VerifyVerdict{right, not, right}, ""},
		{"a /a", structs.VerifyIncomplete, []structs.VerifyVerdict{right, not}, ""},
		{"a a b nb nb", structs.VerifyDifferent, []structs.VerifyVerdict{right, right, different, different, different}, "0"},
		{"a b nb", structs.VerifyUndecided, []structs.VerifyVerdict{undecided, undecided, undecided}, "0"},
		{"aa ab ca aa aa", structs.VerifyDifferent, []structs.VerifyVerdict{right, different, different, right, right}, "0 1"},
		{"ac !b bc", structs.VerifyDifferent, []structs.VerifyVerdict{undecided, damaged, undecided}, "0 1"},
	} {
		t.Run(c.servers, func(t *testing.T) {
			var answers []*replicaAnswer
			for i, s := range strings.Fields(c.servers) {
				answers = append(answers, answerOf(i, s))
			}
			outcome, differences, sound := judge(answers)
			if outcome != c.outcome {
				t.Errorf("outcome %q, want %q", outcome, c.outcome)
			}
			var rights []structs.NodeID
			for i, a := range answers {
				if a.row.Verdict != c.want[i] {
					t.Errorf("server %d: %q, want %q", i, a.row.Verdict, c.want[i])
				}
				if a.row.Verdict == right {
					rights = append(rights, a.row.ID)
				}
			}
			if fmt.Sprint(sound) != fmt.Sprint(rights) {
				t.Errorf("whose state may be taken: %v, want %v", sound, rights)
			}
			var differ []string
			for _, d := range differences {
				differ = append(differ, d.Part)
			}
			if got := strings.Join(differ, " "); got != c.differ {
				t.Errorf("parts %q differ, want %q", got, c.differ)
			}
		})
	}
}

func answerOf(i int, s string) *replicaAnswer {
	a := &replicaAnswer{
		row:  &structs.VerifyServer{ID: structs.NodeID(num(i)), Voter: true, Verdict: structs.VerdictWaiting},
		hash: &structs.ReplicaHash{State: structs.ReplicaDone, Format: "f"},
	}
	for j, r := range strings.TrimLeft(s, "/n") {
		part := structs.ReplicaPart{Name: num(j), Hash: string(r)}
		switch r {
		case '?':
			a.row.Verdict, a.hash = structs.VerdictNotCompared, nil
			return a
		case '-':
			continue
		case '!':
			part.Hash, part.Damage = "", "bad"
		}
		a.hash.Parts = append(a.hash.Parts, part)
	}
	if s[0] == '/' {
		a.hash.Build = "other"
	}
	a.row.Voter = s[0] != 'n'
	return a
}
