/* What a placement plugin of bai is: a shared object placement_NAME.so in PluginDir that says, for a partition with Placement=plugin:NAME, which
 * nodes a job is given first of those that can take it. It ranks and decides nothing else: whether a job fits, how much it is given, and what was
 * promised to others is the scheduler's business whatever a plugin answers. C99 and C++.
 *
 * A plugin runs in bai-ctld, as its user, on one thread: what it breaks is broken. It should be quick (it is asked for every node that could take
 * the job) and answer by its arguments alone, so that bai-sim repeats what the controller decided. doc/placement-plugins.md has the rest. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when fields are added behind the others, which changes nothing for plugins of earlier versions. */
#define BAI_PLACEMENT_VERSION 1

/* A node as it is for as long as the job may stay there: what is free is the least that is free in that time. The pointers are good for the call. */
struct bai_placement_node {
  const char* name;
  const char* const* features; /* a null pointer behind the last */
  int32_t leaf_switch;         /* equal for nodes below the same; -1: none */
  uint32_t jobs;               /* that hold something here now */
  int64_t cpus, cpus_free;
  int64_t memory_mib, memory_free_mib;
  int64_t gpus, gpus_free; /* in thousandths of one */
};

/* What the job would be given of it. */
struct bai_placement_share {
  int64_t cpus, memory_mib;
  int64_t gpus; /* in thousandths of one */
};

struct bai_placement {
  uint32_t version; /* BAI_PLACEMENT_VERSION as the plugin was compiled */
  const char* name; /* NAME */
  /* The lower, the sooner this node is taken. Of equal ones the first in the partition's Nodes= is; nodes of a smaller Weight come before all. */
  int64_t (*cost)(const struct bai_placement_node* node, const struct bai_placement_share* share);
};

/* The symbol that is looked up: const struct bai_placement bai_placement_plugin = {BAI_PLACEMENT_VERSION, "NAME", cost}; */
extern const struct bai_placement bai_placement_plugin;

#ifdef __cplusplus
}
#endif
