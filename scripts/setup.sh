# Set-up shared by ./pianola-demo and ./pianola-test: Debian packages, configuration, build. Sourced.

# What the tool and one Verilated model need.
TOOL_PACKAGES="g++ cmake ninja-build pkg-config python3 verilator libeigen3-dev nlohmann-json3-dev
  libcli11-dev libtomlplusplus-dev libonig-dev libutf8proc-dev libflatbuffers-dev
  flatbuffers-compiler libxxhash-dev libzstd-dev libmpfr-dev libsystemc-dev zlib1g-dev
  libboost1.81-dev libspdlog-dev"
# What the tests need beyond that.
TEST_PACKAGES="libgtest-dev ccache clang-14 yosys python3-venv chromium curl"
# Debian's npm; a nodejs from elsewhere brings its own.
command -v npm >/dev/null || TEST_PACKAGES="$TEST_PACKAGES nodejs npm"

# Compilations are cached by content; the same source in another checkout is the same source.
export CCACHE_BASEDIR="$PWD" CCACHE_NOHASHDIR=1

# need_packages PACKAGE...: installs those that are missing, or says how and fails.
need_packages() {
  local missing="" package
  for package in "$@"; do
    if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
      missing="$missing $package"
    fi
  done
  [ -z "$missing" ] && return 0
  if [ "$(id -u)" = 0 ]; then
    echo "installing:$missing" >&2
    if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } \
        >"${TMPDIR:-/tmp}/pianola-apt.log" 2>&1; then
      return 0
    fi
    echo "installing failed (${TMPDIR:-/tmp}/pianola-apt.log); this needs the network. By hand:" >&2
  else
    echo "Debian packages are missing, and only root can install them. Run:" >&2
  fi
  echo "  sudo apt-get update && sudo apt-get install -y$missing" >&2
  return 1
}

# build_quietly DIRECTORY [TARGET...]: progress on a terminal, silence in a pipe, the log on failure.
build_quietly() {
  local directory="$1" log="$1/build.log"
  shift
  if [ -t 1 ]; then
    cmake --build "$directory" --target "$@"
  elif ! cmake --build "$directory" --target "$@" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    return 1
  fi
}
