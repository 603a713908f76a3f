# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# podman as root, with runc. To be sourced by run.sh.

# shellcheck disable=SC2034
oci=runc
# shellcheck source=/dev/null
. "$here/podman.sh"
