# bai's one Makefile: it sees the whole tree by wildcards, so a new file needs no line here. `make help` lists the goals.
# Everything built lies under $(BUILD); a variant is another folder: make BUILD=build/asan SANITIZE=address,undefined check
BUILD ?= build
SANITIZE ?=
FUZZ_SECONDS ?= 30
TEST_TIMEOUT ?= 600
CLANGXX ?= clang++
# Names of tests to run, as in `make check T=hostlist`; all when empty.
T ?=

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
SHELL := /bin/bash
comma := ,
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(2)')

# --- packages: Debian 12's names -------------------------------------------------------------------------------
packages := g++ autoconf libboost-program-options-dev libmunge-dev munge libzmq3-dev cppzmq-dev libcereal-dev \
  libsodium-dev zlib1g-dev libsqlite3-dev libpq-dev libjemalloc-dev libhwloc-dev nlohmann-json3-dev libfmt-dev libspdlog-dev ?libpmix-dev
packages_check := libgtest-dev python3 postgresql
packages_fuzz := clang libclang-rt-14-dev
packages_lint := clang-format clang-tidy shellcheck python3
packages_bench := libbenchmark-dev python3 ?slurmctld ?slurmd ?slurm-client ?slurm-wlm-basic-plugins
install_packages := @build-aux/install-packages

# --- goals that need no config.mk ------------------------------------------------------------------------------
no_config := help clean distclean deps deps-check deps-fuzz deps-lint deps-bench demo check fuzz lint bench sanitize
.PHONY: $(no_config)

help:
	@printf '%s\n' \
	  'make              build everything into $(BUILD)/bin' \
	  'make demo         install packages, build, and watch a three-node cluster run a job' \
	  'make check        install packages, build, run all tests (T="NAME..." for some)' \
	  'make fuzz         run each fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS)' \
	  'make bench        measure; results in $(BUILD)/bench' \
	  'make lint         formatting, clang-tidy, shellcheck, headers, arrows between the rooms of src/' \
	  'make format       let clang-format rewrite what "make lint" complains about' \
	  'make sanitize     all tests under ASan and UBSan, then under TSan' \
	  'make deps         install what building needs (also deps-check, deps-fuzz, deps-lint, deps-bench)' \
	  'make install      install below PREFIX (./configure --prefix); DESTDIR is put before every path' \
	  'make uninstall    remove what install put there' \
	  'make clean        remove $(BUILD); distclean: also what ./configure wrote' \
	  'run-demo, run-check, run-fuzz, run-lint, run-bench: the same without looking at packages' \
	  'Variables: BUILD=DIR  SANITIZE=address,undefined|thread  V=1 (show commands)  CXX  CXXFLAGS  -jN'

deps:
	$(install_packages) $(packages)
deps-check:
	$(install_packages) $(packages_check)
deps-fuzz:
	$(install_packages) $(packages_fuzz)
deps-lint:
	$(install_packages) $(packages_lint)
deps-bench:
	$(install_packages) $(packages_bench)

demo:
	$(install_packages) $(packages)
	@$(MAKE) --no-print-directory run-demo
check:
	$(install_packages) $(packages) $(packages_check)
	@$(MAKE) --no-print-directory run-check
fuzz:
	$(install_packages) $(packages) $(packages_fuzz)
	@$(MAKE) --no-print-directory run-fuzz
lint:
	$(install_packages) $(packages) $(packages_lint)
	@$(MAKE) --no-print-directory --keep-going run-lint
bench:
	$(install_packages) $(packages) $(packages_bench)
	@$(MAKE) --no-print-directory run-bench
sanitize:
	$(install_packages) $(packages) $(packages_check)
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SANITIZE=address,undefined run-check
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan SANITIZE=thread run-check
clean:
	rm -rf $(BUILD)
distclean: clean
	rm -rf configure configure~ config.mk config.log config.status autom4te.cache

ifneq ($(filter-out $(no_config),$(or $(MAKECMDGOALS),all)),)
# --- configuration: made when missing, remade with the same options when configure.ac changed --------------------
include config.mk
ifdef PREFIX
prefix := $(PREFIX)
endif
pkglibexecdir = $(libexecdir)/bai
pkglibdir = $(libdir)/bai
pkgdatadir = $(datadir)/bai
systemdunitdir = $(prefix)/lib/systemd/system
bashcompletiondir = $(datarootdir)/bash-completion/completions

configure: configure.ac
	@command -v autoconf >/dev/null || { echo 'autoconf is missing: run `make deps` first' >&2; exit 1; }
	$(call say,CONF,configure)
	$(Q)autoconf
config.mk: configure config.mk.in
	$(Q)if [ -x config.status ]; then ./config.status --silent --recheck && ./config.status --silent; \
	  else ./configure --silent; fi
	@touch $@

# --- flags -----------------------------------------------------------------------------------------------------
std_flags := -std=c++20 -Wall -Wextra -Isrc -DFMT_HEADER_ONLY -DSPDLOG_FMT_EXTERNAL -pthread
# g++ 12 sees uninitialised members in moved-from variants where there are none.
gcc_flags := $(if $(findstring clang,$(CXX)),,-Wno-maybe-uninitialized)
cxx_flags := $(std_flags) $(gcc_flags) -ffunction-sections -fdata-sections $(CPPFLAGS) $(CXXFLAGS)
link_flags := -pthread -Wl,--gc-sections -Wl,--as-needed $(LDFLAGS)
static_flags := $(if $(filter yes,$(STATIC_COMMANDS)),-static)
ifneq ($(SANITIZE),)
# Checks of every pointer for null (ASan sees the access) and alignment (the fuzz targets keep it) triple the time to compile.
cxx_flags += -U_FORTIFY_SOURCE -O1 -g1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all \
  $(if $(findstring undefined,$(SANITIZE)),-fno-sanitize=null$(comma)alignment)
link_flags += -fsanitize=$(SANITIZE)
static_flags :=
endif
fuzz_flags := $(std_flags) $(CPPFLAGS) -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
  -fno-sanitize-recover=undefined -DBAI_FUZZING
# What the static programs may need, and what the daemons may need beside it; only what is used is linked.
command_libs := -lboost_program_options -lmunge -lsodium -lz $(LIBS)
daemon_libs := -lzmq -lsqlite3 -lpq -lhwloc $(command_libs)
# bai-ctld's: what one thread makes another drops, all day. glibc's heap gets slower with age under that: a third of the jobs a second.
# The sanitizers bring their own.
allocator := $(if $(SANITIZE),,-ljemalloc)

# Version and directories reach the code in one file.
path_file := src/base/paths.cc
path_defs := -DBAI_VERSION='"$(VERSION)"' $(foreach d,bindir sbindir pkglibexecdir pkglibdir sysconfdir localstatedir \
  runstatedir,-DBAI_$(d)='"$($(d))"')
defs = $(if $(filter $(path_file),$<),$(path_defs)) \
  $(if $(filter tests/sanitize/%,$<),-DBAI_REPORTS='"$(abspath $(BUILD))/reports/stepd"')

# The one file that knows libpmix.
pmix_file := src/pmix/server.cc
defs += $(if $(filter $(pmix_file),$<),$(PMIX_CPPFLAGS))

# Tests are compiled more than they are run.
unit_opt = $(if $(filter tests/unit/%,$<),-O1 -g1)

# $(call remember,FILE,TEXT): FILE holds TEXT and is written only when that changes; what depends on it is then remade.
remember = $(if $(subst x$(2)x,,x$(file <$(1))x),$(shell mkdir -p $(dir $(1)))$(file >$(1),$(2)))

# --- what there is ---------------------------------------------------------------------------------------------
lib_cc := $(sort $(wildcard src/*/*.cc src/*/*/*.cc))
headers := $(sort $(wildcard src/*/*.h src/*/*/*.h commands/*/*.h))
daemon_cc := $(wildcard daemons/*.cc)
command_cc := $(wildcard commands/*.cc)
command_part_cc := $(sort $(wildcard commands/*/*.cc))  # of a command that is more than its main
unit_cc := $(sort $(shell find tests/unit -name '*.cc' 2>/dev/null))
bench_cc := $(wildcard tests/bench/*.cc)
fuzz_cc := $(wildcard tests/fuzz/*.cc)
fuzz_lib_cc := $(filter-out $(addprefix src/,$(addsuffix /%,cluster controller sim sokovan store)),$(lib_cc))
sanitize_cc := $(wildcard tests/sanitize/*.cc)
all_cc := $(lib_cc) $(daemon_cc) $(command_cc) $(command_part_cc) $(unit_cc) $(bench_cc) $(fuzz_cc) $(sanitize_cc)

obj = $(1:%.cc=$(BUILD)/obj/%.o)
lib := $(BUILD)/libbai.a
# bai-sim loads plugins, which no static program can, and nobody waits for its start.
command_bin := $(command_cc:commands/%.cc=$(BUILD)/bin/%)
shared_bin := $(filter %/bai-sim,$(command_bin))
static_bin := $(filter-out $(shared_bin),$(command_bin)) $(if $(wildcard daemons/bai-stepd.cc),$(BUILD)/bin/bai-stepd)
pmix_bin := $(BUILD)/bin/bai-pmixd
daemon_bin := $(filter-out $(BUILD)/bin/bai-stepd $(pmix_bin),$(daemon_cc:daemons/%.cc=$(BUILD)/bin/%))
unit_bin := $(if $(unit_cc),$(BUILD)/unit-tests)
bench_bin := $(bench_cc:tests/bench/%.cc=$(BUILD)/bench/%)
fuzz_bin := $(fuzz_cc:tests/fuzz/%.cc=$(BUILD)/fuzz/%)
# contrib/slurm/bin/NAME -> .../bai-COMMAND says which command answers to NAME.
slurm_links := $(wildcard contrib/slurm/bin/*)
# contrib/plugins/placement_NAME.c, examples: build/plugins/placement_NAME.so
plugin_c := $(wildcard contrib/plugins/*.c)
plugins := $(plugin_c:contrib/%.c=$(BUILD)/%.so)
# contrib/devices/device_NAME.c or .cc, what finds the devices of a node: build/plugins/device_NAME.so
device_src := $(wildcard contrib/devices/device_*.c contrib/devices/device_*.cc)
devices := $(patsubst contrib/devices/%,$(BUILD)/plugins/%.so,$(basename $(device_src)))
slurm_bin := $(slurm_links:contrib/%=$(BUILD)/%)
target_of = $(notdir $(shell readlink $(1)))

$(call remember,$(BUILD)/flags/compile,$(CXX) $(cxx_flags))
$(call remember,$(BUILD)/flags/paths,$(path_defs))
$(call remember,$(BUILD)/flags/pmix,$(PMIX_CPPFLAGS) $(PMIX_LIBS))
$(call remember,$(BUILD)/flags/link,$(CXX) $(link_flags) $(static_flags) $(daemon_libs))
$(call remember,$(BUILD)/flags/sources,$(lib_cc))
$(call remember,$(BUILD)/flags/unit-sources,$(unit_cc))
$(call remember,$(BUILD)/flags/fuzz,$(CLANGXX) $(fuzz_flags))

# --- building --------------------------------------------------------------------------------------------------
.PHONY: all
all: $(lib) $(static_bin) $(shared_bin) $(daemon_bin) $(pmix_bin) $(slurm_bin) $(plugins) $(devices)

$(BUILD)/obj/%.o: %.cc $(BUILD)/flags/compile
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(cxx_flags) $(unit_opt) $(defs) -MMD -MP -c $< -o $@
$(call obj,$(path_file)) $(path_file:%.cc=$(BUILD)/fuzz/obj/%.o): $(BUILD)/flags/paths
$(call obj,$(pmix_file)): $(BUILD)/flags/pmix

# Thin: the archive names the objects, it does not copy them.
$(lib): $(call obj,$(lib_cc)) $(BUILD)/flags/sources
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcsT $@ $(filter %.o,$^)

# Copied: what a linker writes piece by piece lies in the page cache in single pages, a file written in order in large folios, which
# are mapped at once. That is a sixth of the start of a command.
$(static_bin): $(lib) $(BUILD)/flags/link
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(static_flags) $(link_flags) $(filter %.o,$^) $(lib) $(command_libs) -o $@.linked
	$(Q)cp --remove-destination $@.linked $@ && rm $@.linked
$(shared_bin): $(lib) $(BUILD)/flags/link
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(link_flags) $(filter %.o,$^) $(lib) $(command_libs) -o $@
$(daemon_bin): $(lib) $(BUILD)/flags/link
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(link_flags) $(filter %.o,$^) $(lib) $(if $(filter %/bai-ctld,$@),$(allocator)) $(daemon_libs) -o $@
$(pmix_bin): $(lib) $(BUILD)/flags/link $(BUILD)/flags/pmix
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(link_flags) $(filter %.o,$^) $(lib) $(PMIX_LIBS) $(command_libs) -o $@
$(command_bin): $(BUILD)/bin/%: $(BUILD)/obj/commands/%.o
$(daemon_cc:daemons/%.cc=$(BUILD)/bin/%): $(BUILD)/bin/%: $(BUILD)/obj/daemons/%.o
$(foreach cc,$(command_part_cc),$(eval $(patsubst commands/%/,$(BUILD)/bin/%,$(dir $(cc))): $(call obj,$(cc))))
ifneq ($(SANITIZE),)
$(static_bin) $(shared_bin) $(daemon_bin) $(pmix_bin): $(call obj,tests/sanitize/ubsan.cc)
$(BUILD)/bin/bai-stepd: $(call obj,tests/sanitize/stepd.cc)
endif

$(plugins): $(BUILD)/%.so: contrib/%.c src/sokovan/placement_plugin.h $(BUILD)/flags/compile
	@mkdir -p $(@D)
	$(call say,PLUGIN,$@)
	$(Q)$(CXX) -x c -std=c99 -Wall -Wextra -O2 -fPIC -shared -Isrc/sokovan $< -o $@

device_flags := -Wall -Wextra -O2 -fPIC -shared -Isrc/device
$(BUILD)/plugins/device_%.so: contrib/devices/device_%.c src/device/device_plugin.h $(BUILD)/flags/compile
	@mkdir -p $(@D)
	$(call say,PLUGIN,$@)
	$(Q)$(CXX) -x c -std=c99 $(device_flags) $< -o $@
$(BUILD)/plugins/device_%.so: contrib/devices/device_%.cc src/device/device_plugin.h $(wildcard contrib/devices/*.h) $(BUILD)/flags/compile
	@mkdir -p $(@D)
	$(call say,PLUGIN,$@)
	$(Q)$(CXX) -std=c++20 $(device_flags) $< -o $@ -ldl

# No prerequisite: in a fresh tree the link in contrib points at what is not there yet.
$(slurm_bin): $(BUILD)/%:
	@mkdir -p $(@D)
	$(Q)ln -sfn ../../bin/$(call target_of,contrib/$*) $@

$(BUILD)/unit-tests: $(call obj,$(unit_cc)) $(lib) $(BUILD)/flags/link $(BUILD)/flags/unit-sources
	$(call say,LINK,$@)
	$(Q)$(CXX) $(link_flags) $(filter %.o,$^) $(lib) -lgtest_main -lgtest $(daemon_libs) -o $@

$(bench_bin): $(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(lib) $(BUILD)/flags/link
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(link_flags) $< $(lib) -lbenchmark $(daemon_libs) -o $@

# Fuzz targets have a library of their own, built by clang, of the rooms that read what comes from outside.
$(BUILD)/fuzz/obj/%.o: %.cc $(BUILD)/flags/fuzz
	@mkdir -p $(@D)
	$(call say,FUZZCC,$<)
	$(Q)$(CLANGXX) $(fuzz_flags) $(defs) -MMD -MP -c $< -o $@
$(BUILD)/fuzz/libbai.a: $(fuzz_lib_cc:%.cc=$(BUILD)/fuzz/obj/%.o) $(BUILD)/flags/sources
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcsT $@ $(filter %.o,$^)
$(fuzz_bin): $(BUILD)/fuzz/%: $(BUILD)/fuzz/obj/tests/fuzz/%.o $(BUILD)/fuzz/libbai.a
	$(call say,LINK,$@)
	$(Q)$(CLANGXX) -fsanitize=fuzzer,address,undefined -Wl,--as-needed -pthread $< $(BUILD)/fuzz/libbai.a $(daemon_libs) -o $@

.SECONDARY:
-include $(shell find $(BUILD)/obj $(BUILD)/fuzz/obj $(BUILD)/lint -name '*.d' 2>/dev/null)

# --- running ---------------------------------------------------------------------------------------------------
.PHONY: run-demo run-check run-fuzz run-bench build-tests
run-demo: all
	@contrib/examples/demo.sh $(BUILD)/bin

build-tests: all $(unit_bin)
run-check: build-tests
	@tests/run --build $(BUILD) --sanitize '$(SANITIZE)' --timeout $(TEST_TIMEOUT) $(T)

# What a run finds worth keeping goes to build/fuzz/corpus, what fails to build/fuzz/found.
run-fuzz: $(fuzz_bin:$(BUILD)/fuzz/%=run-fuzz-%)
.PHONY: fuzz-seeds
fuzz-seeds:
	@tests/fuzz/seeds $(BUILD)/fuzz/seeds
run-fuzz-%: $(BUILD)/fuzz/% fuzz-seeds
	@mkdir -p $(BUILD)/fuzz/{corpus,seeds}/$* $(BUILD)/fuzz/found
	$(call say,FUZZ,$* ($(FUZZ_SECONDS) s))
	@log=$(BUILD)/fuzz/$*.log; \
	$< -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -artifact_prefix=$(BUILD)/fuzz/found/$*- \
	  $(BUILD)/fuzz/{corpus,seeds}/$* >$$log 2>&1 || { tail -n 60 $$log; echo "fuzz target $* failed"; exit 1; }; \
	grep '^Done ' $$log | sed 's/^/    $*: /'

run-bench: all $(bench_bin)
	@for b in $(bench_bin); do $$b --benchmark_out=$$b.json --benchmark_out_format=json || exit 1; done
	@! [ -x tests/bench/run ] || tests/bench/run $(BUILD)

# --- lint ------------------------------------------------------------------------------------------------------
# Each check leaves a stamp, so that only what changed is looked at again.
.PHONY: format
format:
	clang-format -i $(headers) $(all_cc) $(shell find tests -name '*.h' 2>/dev/null)
.PHONY: run-lint lint-format lint-shell lint-arrows lint-headers lint-tidy
run-lint: lint-format lint-shell lint-arrows lint-headers lint-tidy
lint-format:
	$(call say,LINT,format)
	@clang-format --dry-run -Werror $(headers) $(all_cc) $(shell find tests -name '*.h' 2>/dev/null)
lint-shell:
	$(call say,LINT,shell)
	@tests/lint/shell
lint-arrows:
	$(call say,LINT,arrows)
	@tests/lint/arrows
lint-headers: $(headers:%=$(BUILD)/lint/%.ok)
lint-tidy: $(all_cc:%=$(BUILD)/lint/%.ok)
lint_flags := $(std_flags) $(CPPFLAGS)
$(BUILD)/lint/%.h.ok: %.h
	@mkdir -p $(@D)
	$(call say,HEADER,$<)
	$(Q)printf '#include "%s"\n' $(<:src/%=%) | \
	  $(CXX) $(lint_flags) -fsyntax-only -Werror -MMD -MP -MF $(@:.ok=.d) -MT $@ -x c++ -
	@touch $@
$(BUILD)/lint/%.cc.ok: %.cc .clang-tidy tests/.clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$<)
	$(Q)$(CXX) $(lint_flags) $(path_defs) -MM -MP -MF $(@:.ok=.d) -MT $@ $<
	$(Q)clang-tidy --quiet $< -- $(lint_flags) $(path_defs) 2> >(grep -v 'warnings generated' >&2)
	@touch $@

# --- installing ------------------------------------------------------------------------------------------------
.PHONY: install
subst_dirs = sed $(foreach d,prefix bindir sbindir libexecdir pkglibexecdir pkglibdir sysconfdir localstatedir runstatedir,\
  -e 's|@$(d)@|$($(d))|g') -e 's|@VERSION@|$(VERSION)|g'
D = $(DESTDIR)
# $(call put,FILES,DIR): a .in file has its @variables@ replaced and loses its ending.
put = @mkdir -p $(D)$(2); for f in $(1); do t="$(D)$(2)/$$(basename $${f%.in})"; $(subst_dirs) $$f >"$$t" && chmod 644 "$$t" || exit 1; done
install: all
	@mkdir -p $(D)$(bindir) $(D)$(sbindir) $(D)$(pkglibexecdir)/slurm/bin
	@for f in $(command_bin); do install -s -m 755 $$f $(D)$(bindir)/ || exit 1; done
	@for f in $(daemon_bin); do install -s -m 755 $$f $(D)$(sbindir)/ || exit 1; done
	@for f in $(filter %/bai-stepd,$(static_bin)) $(pmix_bin); do install -s -m 755 $$f $(D)$(pkglibexecdir)/ || exit 1; done
	@for f in $(slurm_links); do t=$$(realpath -m --relative-to=$(pkglibexecdir)/slurm/bin $(bindir)); \
	  ln -sfn $$t/$$(basename $$(readlink $$f)) $(D)$(pkglibexecdir)/slurm/bin/$$(basename $$f) || exit 1; done
	@mkdir -p $(D)$(pkglibdir)
	@for f in $(devices); do install -s -m 755 $$f $(D)$(pkglibdir)/ || exit 1; done
	$(call put,src/sokovan/placement_plugin.h src/device/device_plugin.h,$(includedir)/bai)
	$(call put,$(wildcard contrib/devices/*.conf),$(pkgdatadir)/devices)
	$(if $(wildcard man/*.1),$(call put,$(wildcard man/*.1),$(mandir)/man1))
	$(if $(wildcard man/*.5),$(call put,$(wildcard man/*.5),$(mandir)/man5))
	$(if $(wildcard man/*.7),$(call put,$(wildcard man/*.7),$(mandir)/man7))
	$(if $(wildcard man/*.8),$(call put,$(wildcard man/*.8),$(mandir)/man8))
	$(if $(wildcard etc/*.example),$(call put,$(wildcard etc/*.example),$(sysconfdir)/bai))
	$(if $(wildcard etc/systemd/*.in),$(call put,$(wildcard etc/systemd/*.in),$(systemdunitdir)))
	$(if $(wildcard etc/logrotate/*.in),$(call put,$(wildcard etc/logrotate/*.in),$(sysconfdir)/logrotate.d))
	$(if $(wildcard etc/completion/*),$(call put,$(wildcard etc/completion/*),$(bashcompletiondir)))
	$(call put,LICENSE $(wildcard README.md doc/*.md),$(docdir))

# Removes what install would put there; configuration, state and logs stay.
.PHONY: uninstall
uninstall:
	@t=$$(mktemp -d) && $(MAKE) --no-print-directory install DESTDIR="$$t" && \
	  find "$$t" ! -type d -printf '%P\0' | (cd "$(or $(D),/)" && xargs -0 rm -f --) && rm -rf "$$t"
endif
