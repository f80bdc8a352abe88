// The SystemVerilog package target_pkg: the numbers of one target for the RTL, beside the machine
// spec's pianola_pkg.
#pragma once

#include <string>

#include "isa/target.h"

namespace pianola {

// The text of the package. Deterministic: equal targets give equal text.
std::string write_target_package(const Target& target);

}  // namespace pianola
