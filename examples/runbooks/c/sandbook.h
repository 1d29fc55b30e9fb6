// The part of sdk/wit this runbook uses, as the canonical ABI lays it out. Written by hand: nothing here but sizes and
// offsets, which follow from the WIT. A text is pointer and length; an option is a byte and the value, aligned; a variant is a
// byte and its largest case, aligned.
#ifndef SANDBOOK_H
#define SANDBOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(interface, name) __attribute__((import_module("sandbook:runbook/" interface "@1.0.0"), import_name(name)))

typedef struct { const char *text; size_t length; } text_t;

// option<string>
typedef struct { uint8_t some; text_t value; } maybe_text_t;

// variant error: its case, and the text all cases have. `outcome` looks the same.
typedef struct { uint8_t kind; text_t text; } told_t;

enum error_kind { DENIED, INVALID, NOT_FOUND, CONFLICT, TIMEOUT, LIMITED, FAILED };
enum outcome_kind { DONE, FIXED, NOTHING_TO_DO, ESCALATE };

// result<outcome, error>
typedef struct { uint8_t failed; told_t told; } answer_t;

// record container-state
typedef struct {
  uint8_t status, health;
  struct { uint8_t some; int32_t value; } exit_code;
  uint8_t oom_killed;
  text_t error;
  maybe_text_t started_at, finished_at;
  uint32_t restart_count;
} container_state_t;

// result<change, error>: the larger of the two decides its size.
typedef struct {
  uint8_t failed;
  union {
    told_t error;
    struct { uint8_t changed; container_state_t state; } change;
  };
} change_answer_t;

// record target
typedef struct { text_t handle, host; uint8_t kind; text_t name; maybe_text_t id; } target_t;

// restart-container: func(container: string, options: record { grace-ms: option<u64> }) -> result<change, error>
IMPORT("docker", "restart-container")
void docker_restart_container(const char *container, size_t length, int32_t grace_some, int64_t grace_ms, change_answer_t *answer);

// log: func(level: enum, message: string)
IMPORT("log", "log")
void log_log(int32_t level, const char *message, size_t length);

#endif
