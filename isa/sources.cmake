target_sources(pianola_isa PRIVATE
  arithmetic.cc
)
target_sources(pianola_isa PRIVATE
  check_roll.cc
  roll.cc
  roll_metadata.cc
  target.cc
  write_target_package.cc
)
