// What sanitizers in bai-stepd are told: it gets no environment to be told by, and its standard error is /dev/null. Linked into sanitized
// builds alone; BAI_REPORTS is where tests/run looks.
extern "C" {
const char* __asan_default_options() { return "detect_stack_use_after_return=1:log_path=" BAI_REPORTS; }
const char* __ubsan_default_options() { return "print_stacktrace=1:log_path=" BAI_REPORTS; }
const char* __tsan_default_options() { return "atexit_sleep_ms=0:log_path=" BAI_REPORTS; }
}
