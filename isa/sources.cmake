target_sources(pianola_isa PRIVATE
  arithmetic.cc
)
target_sources(pianola_isa PRIVATE
  target.cc
  write_target_package.cc
)
