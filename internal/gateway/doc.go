// Package gateway serves the Unix socket through which one sandbox reaches the
// runtime: HTTP/1.1 with the routes of docs/program.md for programs, and those
// of initproto for init. There is one Gateway a sandbox, and holding its
// socket is the identity of whoever calls.
//
// Programs are hostile. A program runs as the same user as init and can make
// every call that init can, as often and as slowly as it likes, so that
//
//   - what is said on init's routes is a claim: it may make the node look
//     sooner, and proves nothing. How a program ended is known from the
//     container's state and the record on disk, what kernel it runs on from
//     the host. The order to stop stands until the end, whoever fetches it.
//   - a sandbox costs a bounded number of connections, requests a second and
//     bytes of memory, and nothing that one sandbox does reaches another's
//     gateway. When there are too many connections the one longest unused is
//     closed, but never init's.
//   - flooding the socket can keep init from being heard; then init ends the
//     program, and no one else is harmed.
//
// What may be done is asked of the Guard, which is policy and audit; nothing
// passes that it was not asked for. Where inputs and checkpoints are kept, and
// what becomes of progress, is left to those who hand it in.
package gateway
