package sandbox

const helperDir = "SYMBI_TEST_HELPER"

func helperMain(dir string) int { return 0 }
