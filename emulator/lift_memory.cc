// What lifting finds out of MEM: which words are written, what a word holds, and what has to be stored.
#include <algorithm>

#include "emulator/lifter.h"

namespace pianola {

std::pair<int64_t, int64_t> Lifter::register_range(uint32_t index) const {
  if (index == 0) return {0, 0};
  for (const RegisterDeclaration& declaration : entry_.registers) {
    if (declaration.index == static_cast<int>(index)) {
      return {declaration.minimum, declaration.maximum};
    }
  }
  return {-target_.words_per_slice, target_.words_per_slice};
}

void Lifter::mark_written_words() {
  const int words = target_.words_per_slice;
  written_.assign(target_.slices(), {});
  for (size_t q = 0; q < schedule_.queues.size(); ++q) {
    if (target_.queues[q].kind != QueueKind::MemWrite || schedule_.queues[q].empty()) continue;
    std::vector<int32_t> edges(words + 1, 0);
    for (const TimedInstruction& timed : schedule_.queues[q]) {
      const auto& x = std::get<MemInstruction>(timed.instruction);
      const auto [low, high] = register_range(x.reg);
      const int64_t extra = x.op == MemOp::WriteLane ? 1 : 0;
      const int64_t base = x.rows > 0 ? int64_t{x.row} : int64_t{x.address};
      const int64_t row_0 = x.rows > 0 ? int64_t{x.address} : 0;
      for (uint32_t i3 = 0; i3 <= x.timing.n3; ++i3) {
        for (uint32_t i2 = 0; i2 <= x.timing.n2; ++i2) {
          for (uint32_t i1 = 0; i1 <= x.timing.n1; ++i1) {
            const int64_t value = stepped(base, {i1, i2, i3}, x.s1, x.s2, x.s3);
            const int64_t lowest = row_0 + ((value + low) >> x.rows);
            const int64_t highest = row_0 + ((value + high + extra) >> x.rows);
            const int64_t first = std::clamp<int64_t>(lowest, 0, words);
            const int64_t last = std::clamp<int64_t>(highest + 1, first, words);
            ++edges[first];
            --edges[last];
          }
        }
      }
    }
    std::vector<uint8_t>& written = written_[target_.queues[q].unit];
    written.resize(words);
    int32_t depth = 0;
    for (int i = 0; i < words; ++i) {
      depth += edges[i];
      written[i] = depth > 0;
    }
  }
}

void Lifter::list_written_words() {
  const auto words = static_cast<uint64_t>(target_.words_per_slice);
  for (size_t slice = 0; slice < written_.size(); ++slice) {
    for (uint64_t i = 0; i < written_[slice].size(); ++i) {
      if (written_[slice][i] == 0) continue;
      const uint64_t word = slice * words + i;
      auto& list = program_->written_words;
      if (list.empty() || list.back().second != word) list.emplace_back(word, word);
      list.back().second = word + 1;
    }
  }
}

Place Lifter::read_word(int slice, int64_t address) {
  const Place known = contents_.at(slice, address);
  if (known != 0) return read_known(slice, address, known);
  const Place word = place_of(memory_.slices[slice] + address * lanes_);
  const std::vector<uint8_t>& written = written_[slice];
  if (written.empty() || written[address] == 0) return word;
  store_words(slice, address, address + 1);
  const Place vector = new_vector();
  add_copy(vector, word);
  contents_.learn(slice, address, vector);
  return vector;
}

Place Lifter::read_known(int slice, int64_t address, Place known) {
  std::vector<uint32_t> notes;
  for (uint32_t i = contents_.notes_at(slice, address); i != MemoryContents::kNoNote;
       i = contents_.note(i).earlier) {
    notes.push_back(i);
  }
  if (notes.empty()) return known;  // a READ passes the vector on; those who take it are counted
  // Which of these is read is not known yet, so neither are the readers of each.
  count_use(known);
  count_use(known);
  std::vector<Place> written;
  for (size_t i = notes.size(); i-- > 0;) {
    const MemoryContents::Note& note = contents_.note(notes[i]);
    count_use(note.written);
    count_use(note.written);
    written.push_back(note.written);
    const MemoryContents::Note* next = i > 0 ? &contents_.note(notes[i - 1]) : nullptr;
    if (next != nullptr && next->reg == note.reg && next->value == note.value - 1) continue;
    const auto first = note.value + static_cast<uint32_t>(written.size() - 1);
    known = program_->late_places.add(known, note.reg, first, written);
    written.clear();
  }
  contents_.learn(slice, address, known);
  return known;
}

void Lifter::annotate(int slice, int64_t first, int64_t last, int64_t base, uint32_t reg, Place vector) {
  last = std::min<int64_t>(last, target_.words_per_slice);
  for (int64_t word = std::max<int64_t>(first, 0); word < last; ++word) {
    contents_.annotate(slice, word, vector, reg, static_cast<uint32_t>(word - base));
  }
}

void Lifter::add_stores() {
  for (const MemoryContents::Store& store : stores_) {
    uint8_t* word = memory_.slices[store.slice] + size_t(store.word) * lanes_;
    count_use(store.from);
    add_operation(OperationKind::Copy, program_->copies.size(), store.cycle);
    program_->copies.push_back({place_of(word), store.from});
  }
  stores_.clear();
}

void Lifter::store_words(int slice, int64_t first, int64_t last) {
  contents_.take_stores(slice, first, last, stores_);
  add_stores();
}

void Lifter::store_persistent_words() {
  for (const PersistentRegion& region : roll_.metadata.persistent) {
    store_words(region.slice, region.first_word, int64_t{region.first_word} + region.words);
  }
}

void Lifter::set_words(MemoryStep& step, int64_t first, int64_t last) const {
  const int64_t words = target_.words_per_slice;
  step.first_word = static_cast<uint32_t>(std::clamp<int64_t>(first, 0, words));
  step.last_word = static_cast<uint32_t>(std::clamp<int64_t>(last, step.first_word, words));
}

void Lifter::write_row(const MemInstruction& x, const Iteration& it, const QueueInfo& info) {
  const int64_t row = stepped(x.row, it, x.s1, x.s2, x.s3);
  const auto turn = static_cast<uint8_t>(info.slice & ((1 << x.rows) - 1));
  const Place vector = read(info.position, x.dir, x.stream);
  if (x.reg == 0) {
    const int64_t address = int64_t{x.address} + (row >> x.rows);
    if (row < 0 || address >= target_.words_per_slice) {
      return fail(Rule::AddressRange, info.position, "row " + std::to_string(row));
    }
    if ((row & ((1 << x.rows) - 1)) == turn) contents_.write(info.unit, address, vector, cycle_);
    return;
  }
  // Word w of this slice holds row (w - address) * 2^rows + turn.
  const auto [low, high] = register_range(x.reg);
  const int64_t first = int64_t{x.address} + ((row + low) >> x.rows);
  const int64_t last = std::min<int64_t>(int64_t{x.address} + ((row + high) >> x.rows) + 1,
                                         target_.words_per_slice);
  for (int64_t word = std::max<int64_t>(first, 0); word < last; ++word) {
    const int64_t number = ((word - int64_t{x.address}) << x.rows) + turn;
    contents_.annotate(info.unit, word, vector, x.reg, static_cast<uint32_t>(number - row));
  }
  MemoryStep step;
  step.vector = vector;
  step.slice = memory_.slices[info.unit];
  step.address = static_cast<int32_t>(x.address);
  step.reg = x.reg;
  step.rows = static_cast<uint8_t>(x.rows);
  step.turn = turn;
  step.row = static_cast<int32_t>(row);
  set_words(step, first, last);
  add_operation(OperationKind::Write, program_->memory_steps.size(), cycle_);
  program_->memory_steps.push_back(step);
}

void Lifter::issue(const MemInstruction& x, const Iteration& it, const QueueInfo& info) {
  const int64_t address = stepped(x.address, it, x.s1, x.s2, x.s3);
  if (x.stream >= static_cast<uint32_t>(target_.streams)) {
    return fail(Rule::IllegalEncoding, info.position, "stream " + std::to_string(x.stream));
  }
  if (x.rows > 0) return write_row(x, it, info);
  if (x.row > 0) return fail(Rule::IllegalEncoding, info.position, "a row without rows");
  const uint32_t stream = (x.stream + info.slice) % target_.streams;
  uint8_t* slice = memory_.slices[info.unit];
  const bool writes = x.op == MemOp::Write || x.op == MemOp::WriteLane;
  const bool constant = x.reg == 0 && (x.op == MemOp::Read || x.op == MemOp::Write);
  // A WRITE to a constant address reads only when it is stored.
  Place vector = 0;
  if (writes) {
    vector = constant ? look(info.position, x.dir, stream) : read(info.position, x.dir, stream);
  }
  if (constant) {
    if (address < 0 || address >= target_.words_per_slice) {
      return fail(Rule::AddressRange, info.position, "address " + std::to_string(address));
    }
    vector = writes ? vector : read_word(info.unit, address);
    if (writes) contents_.write(info.unit, address, vector, cycle_);
  } else {
    MemoryStep step;
    if (!writes) vector = new_vector();
    step.vector = vector;
    step.slice = slice;
    step.address = static_cast<int32_t>(address);
    step.reg = x.reg;
    step.lane = x.lane + it.i1 * x.lane_step;
    step.lane_reg = x.lane_reg;
    step.limit = x.limit;
    OperationKind kind = writes ? OperationKind::Write : OperationKind::Read;
    if (x.op == MemOp::WriteLane) kind = OperationKind::WriteLane;
    if (x.op == MemOp::Gather) {
      kind = OperationKind::Gather;
      step.index_low = read(info.position, x.index_dir, x.index_stream);
      step.index_high = read(info.position, x.index_dir, x.index_stream + 1);
    }
    const auto [low, high] = register_range(x.reg);
    const int64_t first = address + low;
    const int64_t last = address + high + 1 + (kind == OperationKind::Gather ? x.limit : 0) +
                         (kind == OperationKind::WriteLane ? 1 : 0);
    set_words(step, first, last);
    if (!writes) store_words(info.unit, first, last);
    if (kind == OperationKind::WriteLane) contents_.forget(info.unit, first, last);
    if (kind == OperationKind::Write) {
      annotate(info.unit, first, last, address, x.reg, vector);
    }
    add_operation(kind, program_->memory_steps.size(), cycle_);
    program_->memory_steps.push_back(step);
  }
  if (!writes) drive(cycle_ + latency_mem_read(lanes_), info.position, x.dir, stream, vector);
}

}  // namespace pianola
