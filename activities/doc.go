// Package activities does what the workflows ask for: each activity is thin and
// calls the parts that know how. Those of Steps can be done by any worker,
// those of Node only where the sandbox is.
//
// Every activity may run twice, because a worker may die between doing and
// saying so; each gives the same result then. What policy must be asked and
// the audit log be told of is asked and told here, once.
package activities
