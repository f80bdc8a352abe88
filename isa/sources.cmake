target_sources(pianola_isa PRIVATE
  arithmetic.cc
)
target_sources(pianola_isa PRIVATE
  assemble.cc
  assembly_line.cc
  check_roll.cc
  disassemble.cc
  find_target.cc
  fpga_cells.cc
  fpga_parts.cc
  parse_target.cc
  roll.cc
  roll_metadata.cc
  target.cc
  text_block.cc
  write_target_package.cc
)
