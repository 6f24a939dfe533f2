package main

import (
	"bytes"
	"testing"
	"time"
)

// BenchmarkOutput reports how fast a program's output becomes a log, short
// lines being the worst case.
func BenchmarkOutput(b *testing.B) {
	for name, line := range map[string]string{"2-byte lines": "y\n", "17-byte lines": "0123456789abcdef\n", "1000-byte lines": string(bytes.Repeat([]byte("x"), 999)) + "\n"} {
		b.Run(name, func(b *testing.B) {
			chunk := bytes.Repeat([]byte(line), readBytes/len(line))
			b.SetBytes(int64(len(chunk)))
			l, log := newLines('o', 'O'), newLogFile(b.TempDir()+"/log.", 2<<20, 4<<20)
			for b.Loop() {
				now := time.Now()
				log.write(l.feed(chunk, now), now)
			}
		})
	}
}
