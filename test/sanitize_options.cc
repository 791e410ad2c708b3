// What AddressSanitizer is told in every program of a build with sanitize=1 (binding.gyp). The
// daemon gives its helpers an empty environment, so ASAN_OPTIONS would not reach them.

// Leaks are looked for at the end of a process by stopping its threads with ptrace(2), which a
// helper that has changed its user may not do: it would try for ever. No helper lives long enough
// to leak.
extern "C" const char* __asan_default_options() {  // NOLINT: the name is given
  return "detect_leaks=0";
}
