// Restarts the target once. Shows what a language without an SDK has to do: an allocator for what the engine hands over, one
// exported function, and the imports it calls.

#include "sandbook.h"

// What the engine hands over lies here, and lives as long as the run.
static _Alignas(16) unsigned char heap[256 * 1024];
static size_t used;

EXPORT("cabi_realloc")
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  size_t start = (used + align - 1) & ~(align - 1);
  if (start + size > sizeof heap) __builtin_trap();
  used = start + size;
  for (size_t i = 0; i < old_size && i < size; i++) heap[start + i] = ((unsigned char *)old)[i];
  return heap + start;
}

static char sentence[512];
static size_t written;

static void say(const char *text, size_t length) {
  for (size_t i = 0; i < length && written < sizeof sentence; i++) sentence[written++] = text[i];
}
#define SAY(literal) say(literal, sizeof literal - 1)

// The answer of `run` is too large for a register, so it lies here and its address is returned.
static answer_t answer;

static answer_t *end(bool failed, uint8_t kind) {
  answer.failed = failed;
  answer.told.kind = kind;
  answer.told.text.text = sentence;
  answer.told.text.length = written;
  return &answer;
}

// run: func(input: record { alert: option<alert>, target: option<target>, parameters: list<…> }) -> result<outcome, error>
// The input has more parts than the ABI passes one by one, so it comes as an address: alert at 0 (an option of five fields),
// then the target, then the parameters.
typedef struct {
  struct {
    uint8_t some;
    text_t name;
    struct { void *items; size_t length; } labels, annotations;
    text_t starts_at, fingerprint;
  } alert;
  struct { uint8_t some; target_t value; } target;
  struct { void *items; size_t length; } parameters;
} input_t;

EXPORT("run")
answer_t *run(const input_t *input) {
  written = 0;
  if (!input->target.some) {
    SAY("this runbook needs a target: name a container");
    return end(true, INVALID);
  }
  const target_t *target = &input->target.value;
  log_log(1, "asking for a restart", 20);

  change_answer_t restarted;
  docker_restart_container(target->handle.text, target->handle.length, 0, 0, &restarted);
  if (restarted.failed && restarted.error.kind != DENIED) {
    say(restarted.error.text.text, restarted.error.text.length);
    return end(true, restarted.error.kind);
  }
  if (restarted.failed) {
    SAY("may not restart ");
    say(target->name.text, target->name.length);
    SAY(": ");
    say(restarted.error.text.text, restarted.error.text.length);
    return end(false, ESCALATE);
  }
  SAY("restarted ");
  say(target->name.text, target->name.length);
  return end(false, FIXED);
}
