/* Devices that are not there, for tests and for learning: what there is, how it is and what goes wrong stands in fake.conf of DeviceConfigDir, which is read at each
 * call. Lines:
 *
 *   device ID KIND TYPE MEMORY_MIB NUMA [file=/dev/NAME]... [env=NAME=WORD]... [shares] [mps]      one device; NUMA -1: not known
 *   unhealthy ID WHY...          its health, until the line is gone
 *   gone ID                      the plugin knows it no more
 *   use ID PERCENT MEMORY_MIB    how it is used
 *   process ID PID MEMORY_MIB    who uses it
 *   fault WHEN WHAT              WHEN: start, discover or look; WHAT: crash, hang, fail, absent, or flood (devices without end)
 *
 * It is a whole plugin, in C99 and with nothing but libc: cc -shared -fPIC -I/usr/include/bai device_fake.c -o device_fake.so */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device_plugin.h"

#define MOST 4096

static char path[4096];
static char text[1 << 16];     /* the file, cut into lines */
static const char* lines[MOST];
static int line_count;

static void read_conf(void) {
  line_count = 0;
  FILE* f = fopen(path, "r");
  if (!f) return;
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = 0;
  for (char *save = NULL, *line = strtok_r(text, "\n", &save); line && line_count < MOST; line = strtok_r(NULL, "\n", &save))
    lines[line_count++] = line;
}

/* The next word of *at, or NULL; *at moves behind it. */
static char* word(char** at) { return strtok_r(NULL, " \t", at); }

/* What follows "KEY ID " in the line that begins so; NULL: there is none. */
static const char* line_of(const char* key, const char* id) {
  for (int i = 0; i < line_count; ++i) {
    size_t k = strlen(key), n = strlen(id);
    const char* line = lines[i];
    if (strncmp(line, key, k) == 0 && line[k] == ' ' && strncmp(line + k + 1, id, n) == 0 &&
        (line[k + 1 + n] == ' ' || line[k + 1 + n] == 0))
      return line[k + 1 + n] ? line + k + 2 + n : line + k + 1 + n;
  }
  return NULL;
}

static int fault(const char* when, char* why, size_t room) {
  read_conf();
  const char* what = line_of("fault", when);
  if (!what) return 0;
  if (strcmp(what, "crash") == 0) {
    signal(SIGSEGV, SIG_DFL); /* also where somebody would rather see it */
    raise(SIGSEGV);
  }
  if (strcmp(what, "hang") == 0)
    for (;;) pause();
  if (why) snprintf(why, room, "fake.conf says so");
  return strcmp(what, "flood") == 0 ? 3 : strcmp(what, "absent") == 0 ? BAI_DEVICE_ABSENT : BAI_DEVICE_FAILED;
}

static int start(const char* config_dir, char* why, size_t room) {
  snprintf(path, sizeof path, "%s/fake.conf", config_dir);
  if (access(path, R_OK) != 0) {
    snprintf(why, room, "there is no %s", path);
    return BAI_DEVICE_ABSENT;
  }
  return fault("start", why, room);
}

static const char* kinds(void) {
  static char out[1024];
  out[0] = 0;
  read_conf();
  for (int i = 0; i < line_count; ++i) {
    char kind[64];
    if (sscanf(lines[i], "device %*s %63s", kind) != 1 || strstr(out, kind) || strlen(out) + strlen(kind) + 2 > sizeof out)
      continue;
    if (out[0]) strcat(out, ",");
    strcat(out, kind);
  }
  return out;
}

static int discover(void (*found)(void*, const struct bai_device*), void* to, char* why, size_t room) {
  int what = fault("discover", why, room);
  if (what == 3)
    for (int i = 0;; ++i) {
      char id[32];
      snprintf(id, sizeof id, "FLOOD-%d", i);
      struct bai_device d = {.id = id, .kind = "gpu", .numa_node = -1};
      found(to, &d);
    }
  if (what) return 1;
  for (int i = 0; i < line_count; ++i) {
    if (strncmp(lines[i], "device ", 7) != 0) continue;
    char* copy = strdup(lines[i]);
    char* at = NULL;
    const char *files[BAI_DEVICE_MOST_WORDS + 1] = {0}, *variables[BAI_DEVICE_MOST_WORDS + 1] = {0};
    int file_count = 0, variable_count = 0;
    struct bai_device d = {0};
    strtok_r(copy, " \t", &at);
    d.id = word(&at);
    d.kind = word(&at);
    d.type = word(&at);
    d.model = d.type;
    const char* memory = word(&at);
    d.memory_mib = memory ? strtoull(memory, NULL, 10) : 0;
    const char* numa = word(&at);
    d.numa_node = numa ? atoi(numa) : -1;
    for (char* w = word(&at); w; w = word(&at)) {
      if (strncmp(w, "file=", 5) == 0 && file_count < BAI_DEVICE_MOST_WORDS) files[file_count++] = w + 5;
      if (strncmp(w, "env=", 4) == 0 && variable_count < BAI_DEVICE_MOST_WORDS) variables[variable_count++] = w + 4;
      if (strcmp(w, "shares") == 0) d.flags |= BAI_DEVICE_SHARES;
      if (strcmp(w, "mps") == 0) d.flags |= BAI_DEVICE_MPS;
    }
    d.files = files;
    d.environment = variables;
    found(to, &d);
    free(copy);
  }
  return 0;
}

static int look(const char* id, struct bai_device_state* state) {
  static struct bai_device_process users[BAI_DEVICE_MOST_USERS];
  if (fault("look", NULL, 0) == BAI_DEVICE_FAILED) {
    state->health = BAI_DEVICE_UNKNOWN;
    state->why = "fake.conf says so";
    return 0;
  }
  if (!line_of("device", id) || line_of("gone", id)) return 1;
  const char* why = line_of("unhealthy", id);
  if (why) {
    state->health = BAI_DEVICE_UNHEALTHY;
    state->why = why;
  }
  const char* use = line_of("use", id);
  long long percent, memory;
  if (use && sscanf(use, "%lld %lld", &percent, &memory) == 2) {
    state->use_percent = (int32_t)percent;
    state->memory_used_mib = memory;
  }
  for (int i = 0; i < line_count && state->process_count < BAI_DEVICE_MOST_USERS; ++i) {
    char of[256];
    long long pid;
    if (sscanf(lines[i], "process %255s %lld %lld", of, &pid, &memory) != 3 || strcmp(of, id) != 0) continue;
    users[state->process_count].pid = pid;
    users[state->process_count++].memory_mib = (uint64_t)memory;
  }
  state->processes = users;
  return 0;
}

const struct bai_device_calls bai_device_plugin = {BAI_DEVICE_VERSION, "fake", start, kinds, discover, look};
