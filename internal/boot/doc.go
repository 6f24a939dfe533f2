// Package boot composes the processes: Dev is everything in one, Server the
// front end, Worker a node. It is the only package that imports every part, and
// the only one that knows which engine is behind an interface. Read Dev from
// top to bottom and you have seen the whole system come up, and go down in
// the opposite order.
package boot
