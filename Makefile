# SPDX-License-Identifier: GPL-2.0
# The commands of overlay_rs. The work is done by the scripts in qemu/, each
# of which can be run alone; the module itself is described in Kbuild.

# The first target: `make` alone builds the module.
.DEFAULT_GOAL := module
.PHONY: module run test test-containers test-older test-live deb suites fuzz storm soak hostile parsers faults crash ledger bench layers shell check install prepare update clean purge help
MAKEFLAGS += --no-print-directory --no-builtin-rules

# What may be given on the command line, passed on to the scripts.
export DOC KVER KDIR KERNEL T FS TYPE SCALE ARGS GATE DESTDIR MODULE_DIR DURATION SEED JOBS SCENARIO HOURS BOOTS PROFILE KO COUNT
S := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))qemu

# A jobserver of ours would only confuse the makes in the trees.
unexport MAKEFLAGS

module: ## build overlay_rs.ko, for Debian's kernel (KVER=7.3) or for the build tree KDIR=
ifeq ($(KDIR),)
	@$(S)/prepare.sh module
endif
	@$(S)/module.sh

run: ## the demonstration: boot the stock Debian kernel in a VM and use overlay_rs on a Debian system
	@$(S)/run.sh

test: ## all tests; T=name-filter KERNEL=stock|debug FS=ext4,xfs,tmpfs TYPE=overlay_rs,overlay SCALE=percent
	@$(S)/test.sh

test-containers: ## podman, docker, containerd, .. on overlay and on overlay_rs, side by side; T=runtime,runtime ARGS=case DOC=1
	@$(S)/containers.sh

test-older: ## the older kernel series (7.2): builds, boots, the contract of the container runtimes, the demonstration
	@$(S)/older.sh

test-live: ## a VM whose root is overlay_rs: packages, reboot, factory reset; TYPE=overlay_rs,overlay; then live-boot
	@$(S)/live.sh
	@$(S)/live-boot.sh

deb: ## the Debian package overlay-rs-dkms, in build/deb; ARGS=test installs, boots and removes it in a Debian tree
	@$(S)/deb.sh $(ARGS)

suites: ## other people's suites on overlay and on overlay_rs, side by side; T=suite,suite FS= SCALE=percent
	@$(S)/suites.sh

fuzz: ## random cases on overlay and on overlay_rs, everything compared; DURATION=seconds SEED= FS= KERNEL=
	@$(S)/fuzz.sh

storm: ## many tasks on the same names, mounts, reloads, kills; DURATION=seconds SCENARIO=one FS= KERNEL=
	@$(S)/storm.sh

soak: ## fuzzer, damaged layers, faults, storms and stress-ng in turn on the debug kernel, then a leak scan; HOURS=
	@$(S)/soak.sh

bench: ## what operations cost on overlay_rs, overlay and the bare file system; T=group BOOTS=2 FS= TYPE= PROFILE=
	@$(S)/bench.sh

hostile: ## damaged layers, mounted and used on both, as root and in a user namespace; DURATION=seconds of each SEED= FS= KERNEL=
	@CAMPAIGN=hostile $(S)/fuzz.sh
	@CAMPAIGN=hostile-userns $(S)/fuzz.sh

parsers: ## random bytes for all that reads options or the format on disk, on the host; COUNT=inputs SEED=
	@$(S)/parsers.sh

faults: ## allocations that fail one by one (debug kernel), full layers, bad blocks, a failing disk, quotas, signals; DURATION=seconds of each
	@CAMPAIGN=nth $(S)/faults.sh
	@CAMPAIGN=errors $(S)/faults.sh
	@CAMPAIGN=eio $(S)/faults.sh
	@CAMPAIGN=io $(S)/faults.sh
	@CAMPAIGN=quota $(S)/faults.sh
	@CAMPAIGN=signals $(S)/faults.sh

crash: ## states of the disk in which a crash may leave it, each mounted and looked at; DURATION=seconds SEED= ARGS="--fs ext4,xfs"
	@CAMPAIGN=crash $(S)/faults.sh

ledger: ## what the campaigns have run so far (docs/ledger), added up
	@$(S)/ledger.sh print

layers: ## write the table of docs/layers.md anew: every upper over every lower
	@$(S)/layers.sh

shell: ## a shell in the VM, the module loaded, scratch file systems mounted; KERNEL=stock|debug
	@$(S)/shell.sh

check: ## the static gates: formatting, lints, documentation, unsafe code, panics, stack; GATE=one
	@$(S)/check.sh

.PHONY: features
features: ## every feature of overlayfs, the tests that cover it and their last results
	@$(S)/features.sh

install: module ## install the module on this machine; then `mount -t overlay_rs` loads it by itself
	@$(S)/install.sh

prepare: ## only fill the cache, for the stock kernel or KERNEL=debug
	@$(S)/prepare.sh $(if $(filter debug,$(KERNEL)),debug,demo)

update: ## ask the archive again which kernel is the newest supported one
	@$(S)/kernel.sh update

clean: ## remove what was built in the checkout; the cache stays
	@$(S)/clean.sh

purge: clean ## remove the cache, too: trees, kernels, downloads
	@$(S)/clean.sh cache

help: ## this list
	@echo 'make TARGET [VARIABLE=value]...'
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18
	@echo 'The cache is in $${XDG_CACHE_HOME:-~/.cache}/overlay_rs (OVL_CACHE= chooses another place).'
