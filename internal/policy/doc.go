// Package policy answers whether an action may be done. It evaluates rules
// (package policies holds the default ones) with an embedded OPA and gives an
// agent.Decision: verdict, reason, the rules that spoke, the revision that was
// asked, and conditions.
//
// Decide never fails: what cannot be evaluated is denied, with a reason that
// says so. A condition that the asker does not claim to enforce is denied too.
// Rules are compiled once a revision, and revisions change in one step; a
// question is answered by one revision from beginning to end.
package policy
