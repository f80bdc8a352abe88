target_sources(pianola_isa PRIVATE
  arithmetic.cc
)
