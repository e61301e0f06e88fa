package server

import (
	"slices"

	"github.com/debros/debros/structs"
)

// What stands for the hash of a part that a server does not have, or cannot read.
const (
	partAbsent  = "absent"
	partDamaged = "damaged"
)

// replicaAnswer is what one server said, nil while it has said nothing; its row of the report gets the verdict.
type replicaAnswer struct {
	row  *structs.VerifyServer
	hash *structs.ReplicaHash
}

// compared reports whether the answer takes part.
func (a *replicaAnswer) compared() bool { return a.row.Verdict == structs.VerdictWaiting }

// judge gives each server its verdict and says what is different. right are those that hold what a majority of the voters holds,
// in every part; whom it calls different or damaged may take the state of any of them.
//
// It judges part by part: three servers of which two are wrong, in different places, still show what is right everywhere.
// A server that cannot read what it holds is wrong whatever others say, so those that can be read need no majority against it.
func judge(answers []*replicaAnswer) (outcome structs.VerifyOutcome, differences []*structs.VerifyDifference, right []structs.NodeID) {
	leaveOutOtherFormats(answers)
	voters := 0
	var in []*replicaAnswer
	for _, a := range answers {
		if a.row.Voter {
			voters++
		}
		if a.compared() {
			in = append(in, a)
			a.row.Verdict = structs.VerdictRight
		}
	}
	for _, name := range partNames(in) {
		if d := judgePart(name, in, voters); d != nil {
			differences = append(differences, d)
		}
	}
	found := map[structs.VerifyVerdict]bool{}
	for _, a := range answers {
		found[a.row.Verdict] = true
		if a.row.Verdict == structs.VerdictRight {
			right = append(right, a.row.ID)
		}
	}
	switch {
	case found[structs.VerdictDifferent], found[structs.VerdictDamaged]:
		outcome = structs.VerifyDifferent
	case found[structs.VerdictUndecided]:
		outcome = structs.VerifyUndecided
	case found[structs.VerdictNotCompared]:
		outcome = structs.VerifyIncomplete
	default:
		outcome = structs.VerifyEqual
	}
	return outcome, differences, right
}

// leaveOutOtherFormats keeps the builds apart: rows of another build may be written in another way though they say the same.
// The one that most voters have is compared.
func leaveOutOtherFormats(answers []*replicaAnswer) {
	format := func(a *replicaAnswer) string { return a.hash.Format + ", build " + a.hash.Build }
	count := map[string]int{}
	best := ""
	for _, a := range answers {
		if a.compared() && a.row.Voter {
			count[format(a)]++
			if f := format(a); best == "" || count[f] > count[best] {
				best = f
			}
		}
	}
	for _, a := range answers {
		if a.compared() && format(a) != best {
			a.row.Verdict = structs.VerdictNotCompared
			a.row.Error = "only servers of one build can be compared: this one has " + format(a) + ", most have " + best
		}
	}
}

// partNames are the names of all parts that a server has, in the order of the first that has them.
func partNames(in []*replicaAnswer) (names []string) {
	seen := map[string]bool{}
	for _, a := range in {
		for _, p := range a.hash.Parts {
			if !seen[p.Name] {
				seen[p.Name] = true
				names = append(names, p.Name)
			}
		}
	}
	return names
}

// judgePart compares one part and lowers the verdicts of those who do not have what is right; nil when all have the same.
func judgePart(name string, in []*replicaAnswer, voters int) *structs.VerifyDifference {
	d := &structs.VerifyDifference{Part: name, Hashes: map[structs.NodeID]string{}}
	votes := map[string]int{}
	readable := map[string]bool{}
	for _, a := range in {
		h := partHash(a.hash, name)
		d.Hashes[a.row.ID] = h
		if h == partDamaged {
			continue
		}
		readable[h] = true
		if a.row.Voter {
			votes[h]++
		}
	}
	for h := range readable {
		if len(readable) == 1 || 2*votes[h] > voters {
			d.Right = h
		}
	}
	if len(readable) == 1 && len(in) > 0 && !slices.Contains(hashesOf(in, d), partDamaged) {
		return nil
	}
	for _, a := range in {
		switch h := d.Hashes[a.row.ID]; {
		case h == partDamaged:
			a.row.Verdict = structs.VerdictDamaged
		case h == d.Right:
		case d.Right != "" && a.row.Verdict != structs.VerdictDamaged:
			a.row.Verdict = structs.VerdictDifferent
		case a.row.Verdict == structs.VerdictRight:
			a.row.Verdict = structs.VerdictUndecided
		}
	}
	return d
}

func hashesOf(in []*replicaAnswer, d *structs.VerifyDifference) (all []string) {
	for _, a := range in {
		all = append(all, d.Hashes[a.row.ID])
	}
	return all
}

func partHash(r *structs.ReplicaHash, name string) string {
	at := slices.IndexFunc(r.Parts, func(p structs.ReplicaPart) bool { return p.Name == name })
	switch {
	case at < 0:
		return partAbsent
	case r.Parts[at].Damage != "":
		return partDamaged
	}
	return r.Parts[at].Hash
}
