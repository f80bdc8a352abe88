// `pianola plan --gemm`: the exact cycles of a matrix product on a target.
#pragma once

#include <string>

#include "isa/result.h"

namespace pianola {

// `extents`: "MxKxN". Errors: InvalidArgument, if it is not that; else as of plan_gemm.
Status plan_gemm_command(const std::string& extents, const std::string& target, bool as_json);

}  // namespace pianola
