// Package payload seals what stands in workflows' histories. Codec encrypts
// every payload under a key of the installation, failures' messages and stack
// traces too; Storage puts those larger than 16 KiB, sealed, into the blob store
// and leaves their digest in the history. The Temporal Web UI reads and writes
// payloads through Handler, behind our login.
//
// A client needs all three of DataConverter, FailureConverter and Storage; a
// replayer of recorded histories needs the first and the last. Payloads that
// somebody sent unsealed (a signal by hand in the Web UI) pass as they are.
package payload
