/* What a device plugin of bai is: a shared object device_NAME.so in DevicePluginDir that finds the accelerators of one kind on a node, says how they are, and
 * how a job is shown its own. C99 and C++. doc/device-plugins.md has the rest.
 *
 * A plugin runs in a process of its own (`bai-agentd --device-host`) beside bai-agentd, as its user, on one thread: what it breaks is that process, which is
 * started again. It may block: for a minute until it has found its devices, for ten seconds while it looks at them all.
 * Then the process is killed, and its devices count as unknown until it is back.
 * All texts are UTF-8 and need be good until the call, or the callback that they were given to, returns. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when fields are added behind the others, which changes nothing for plugins of earlier versions. */
#define BAI_DEVICE_VERSION 1

/* What is more than this is refused, and with it all that the plugin said. */
#define BAI_DEVICE_MOST 1024      /* devices of a plugin */
#define BAI_DEVICE_MOST_WORDS 64  /* files, and apart variables, of a device */
#define BAI_DEVICE_MOST_TEXT 256  /* bytes of a text */
#define BAI_DEVICE_MOST_USERS 256 /* processes on a device */

/* bai_device.flags */
#define BAI_DEVICE_SHARES 1u /* several jobs may have shares of one */
#define BAI_DEVICE_MPS 2u    /* CUDA MPS can hold them to their shares */

struct bai_device {
  const char* id;   /* unique on the node, and the same after a reboot: a UUID, else where it is plugged in */
  const char* kind; /* "gpu": the word of --gres */
  const char* type; /* "a100", as in --gres=gpu:a100:1; null: none */
  const char* model;      /* what people call it; null: the type */
  const char* local_cpus; /* "0-15,32-47": those near to it, as the kernel numbers them; null: not known */
  int32_t numa_node;      /* as the kernel numbers them; -1: not known */
  uint32_t flags;         /* BAI_DEVICE_... */
  uint64_t memory_mib;    /* 0: none, or not known */
  const char* const*
      files; /* "/dev/nvidia0": device nodes that a job without it may not open; a null pointer behind the last */
  const char* const*
      environment; /* "CUDA_VISIBLE_DEVICES=GPU-1234": of a job that has it; a null pointer behind the last. Words of several devices are joined
                                   * by commas under one name, equal ones once. %d in a word is the device's number: among those of the plugin that the job
                                   * can open, or among all of them where others are not kept from it. %% is %. */
};

enum bai_device_health { BAI_DEVICE_HEALTHY = 0, BAI_DEVICE_UNHEALTHY = 1, BAI_DEVICE_UNKNOWN = 2 };

struct bai_device_process {
  int64_t pid;
  uint64_t memory_mib;
};

/* Filled with what is not known before the plugin gets it, so that one of an earlier version leaves later fields so. */
struct bai_device_state {
  uint32_t health;         /* enum bai_device_health; at first healthy */
  int32_t use_percent;     /* of its computing; -1: not known */
  int64_t memory_used_mib; /* -1: not known */
  int64_t power_mw;        /* -1: not known */
  uint32_t process_count;  /* of `processes` */
  const struct bai_device_process* processes;
  const char* why; /* of another health than healthy, for people */
};

enum bai_device_start { BAI_DEVICE_STARTED = 0, BAI_DEVICE_ABSENT = 1, BAI_DEVICE_FAILED = 2 };

struct bai_device_calls {
  uint32_t version; /* BAI_DEVICE_VERSION as the plugin was compiled */
  const char* name; /* NAME */
  /* Once, first. `config_dir`: DeviceConfigDir. Returns enum bai_device_start: absent means that nothing of the kind is on this node, such as no driver. A reason
   * may be left in `why` (`room` bytes with the NUL). */
  int (*start)(const char* config_dir, char* why, size_t room);
  /* The kinds that it looks for, "gpu,vgpu"; null: none. After start(), whatever that returned. */
  const char* (*kinds)(void);
  /* Calls found(to, device) for each, always in the same order. Returns 0, or 1 with a reason in `why`. */
  int (*discover)(void (*found)(void* to, const struct bai_device* device), void* to, char* why, size_t room);
  /* How the device of that id is now. Returns 0, or 1 when there is no such device any more. Asked every DeviceCheckInterval. */
  int (*look)(const char* id, struct bai_device_state* state);
};

/* The symbol that is looked up: const struct bai_device_calls bai_device_plugin = {BAI_DEVICE_VERSION, "NAME", start, kinds, discover, look}; */
extern const struct bai_device_calls bai_device_plugin;

#ifdef __cplusplus
}
#endif
