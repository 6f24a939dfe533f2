package sandbox

import (
	_ "embed"
)

// pythonModule is what Python programs import as symbi.
//
//go:embed pylib/symbi.py
var pythonModule []byte

// pythonModuleName is its file in initproto.LibDir.
const pythonModuleName = "symbi.py"
