#include "emulator/find_words.h"

#include <array>
#include <map>
#include <span>
#include <utility>

#include "emulator/visit_places.h"

namespace pianola {
namespace {

class WordFinder {
 public:
  WordFinder(Program& program, const PagedVector<Place>& homes, PagedVector<uint8_t>& words)
      : p_(program), homes_(homes), words_(words) {}

  void run() {
    for (const Operation& operation : p_.operations) define(operation);
    for (const Operation& operation : p_.operations) use(operation);
    for (const LatePlaces::Late& late : p_.late_places.all()) refuse(late.before);
    for (const Place row : p_.late_places.rows()) refuse(row);
  }

 private:
  // ---- Results ----

  void make(const Place* out) {
    for (Place b = 0; b < 4; ++b) {
      if (!is_vector(out[b]) || out[b] != out[0] + b || homes_[number_of(out[b])] != 0) return;
    }
    words_[number_of(out[0])] = kFirstOfWords;
    for (Place b = 1; b < 4; ++b) words_[number_of(out[b])] = kOtherOfWords;
  }

  void define(const Operation& operation) {
    switch (operation.kind) {
      case OperationKind::Vxm: {
        const VxmBatch& batch = p_.vxm_batches[operation.first];
        const VxmControl& control = p_.vxm_controls[batch.control];
        if (control.out_count != 4) return;
        const Place* places = p_.vxm_places.data() + batch.first_place;
        for (uint32_t i = 0; i < batch.passes; ++i) {
          places += control.places_per_pass;
          make(places - 4);
        }
        return;
      }
      case OperationKind::Mac: {
        const MacRun& run = p_.mac_runs[operation.first];
        for (uint32_t i = 0; i < run.steps; ++i) {
          const MacStep& step = p_.mac_steps[run.first_step + i];
          if (step.emits) make(p_.mac_planes.data() + step.planes);
        }
        return;
      }
      case OperationKind::Product:
        for (const ProductColumn& column : columns_of(operation)) make(column.out);
        return;
      case OperationKind::Copy:
      case OperationKind::Read:
      case OperationKind::Write:
      case OperationKind::WriteLane:
      case OperationKind::Gather:
      case OperationKind::Receive:
      case OperationKind::Sxm:
      case OperationKind::ProductInput: return;
    }
  }

  std::span<const ProductColumn> columns_of(const Operation& operation) const {
    const Product& product = p_.products[operation.first];
    return std::span(p_.product_columns)
        .subspan(product.first_column, p_.product_inputs[product.input].columns);
  }

  // ---- Uses ----

  // The vector, and the others with it, have a use of another kind.
  void refuse(Place place) {
    if (!is_vector(place) || words_[number_of(place)] == kNoWords) return;
    uint64_t first = number_of(place);
    while (words_[first] == kOtherOfWords) --first;
    for (uint64_t i = first; i < first + 4; ++i) words_[i] = kNoWords;
  }

  void use_planes(const Place* places, int count) {
    if (count == 4 && is_vector(places[0]) && words_[number_of(places[0])] == kFirstOfWords &&
        places[1] == places[0] + 1 && places[2] == places[0] + 2 && places[3] == places[0] + 3) {
      return;
    }
    for (int i = 0; i < count; ++i) refuse(places[i]);
  }

  void use(const Operation& operation) {
    switch (operation.kind) {
      case OperationKind::Vxm: return use_passes(p_.vxm_batches[operation.first]);
      case OperationKind::Product:
        for (const ProductColumn& column : columns_of(operation)) use_planes(column.initial, 4);
        return;
      case OperationKind::ProductInput: {
        const ProductInput& input = p_.product_inputs[operation.first];
        const Place* places = p_.product_places.data() + input.first_place;
        const uint64_t codes = uint64_t{input.tiles} * input.columns;
        const uint64_t scales = input.has_scales ? uint64_t{input.windows} * input.columns : 0;
        for (uint64_t i = 0; i < codes; ++i) refuse(*places++);
        for (uint64_t i = 0; i < scales; ++i, places += 4) use_planes(places, 4);
        return;
      }
      case OperationKind::Copy:
      case OperationKind::Read:
      case OperationKind::Write:
      case OperationKind::WriteLane:
      case OperationKind::Gather:
      case OperationKind::Receive:
      case OperationKind::Mac:
      case OperationKind::Sxm:
        visit_places(p_, operation, [&](Place& place) { refuse(place); }, [](Place&) {});
        return;
    }
  }

  void use_passes(const VxmBatch& batch) {
    const VxmControl& control = p_.vxm_controls[batch.control];
    const Place* places = p_.vxm_places.data() + batch.first_place;
    for (uint32_t i = 0; i < batch.passes; ++i, places += control.out_count) {
      for (const int count : {control.x_count, control.y_count, control.z_count}) {
        use_planes(places, count);
        places += count;
      }
    }
  }

  Program& p_;
  const PagedVector<Place>& homes_;
  PagedVector<uint8_t>& words_;
};

// Places of passes, rewritten in the order in which they are played.
class PassShortener {
 public:
  PassShortener(Program& program, const PagedVector<uint8_t>& words)
      : p_(program), words_(words) {}

  void run() {
    for (const Operation& operation : p_.operations) {
      if (operation.kind == OperationKind::Vxm) shorten(p_.vxm_batches[operation.first]);
    }
    p_.vxm_places = std::move(places_);
  }

 private:
  static constexpr int kParts = 4;  // x, y, z, out

  static std::array<int*, kParts> counts_of(VxmControl& control) {
    return {&control.x_count, &control.y_count, &control.z_count, &control.out_count};
  }

  // Whether all passes have words at places `first` to `first` + 3.
  bool all_words(const VxmBatch& batch, int step, int first, bool out) const {
    const Place* places = p_.vxm_places.data() + batch.first_place + first;
    for (uint32_t i = 0; i < batch.passes; ++i, places += step) {
      if (out && !p_.vxm_passes[batch.first_pass + i].drives) continue;
      if (!is_vector(*places) || words_[number_of(*places)] != kFirstOfWords) return false;
    }
    return true;
  }

  void shorten(VxmBatch& batch) {
    VxmControl control = p_.vxm_controls[batch.control];
    const int step = control.places_per_pass;
    std::array<bool, kParts> shortened{};
    std::array<int, kParts> before{};
    uint32_t parts = 0;
    for (int part = 0, first = 0; part < kParts; first += before[part++]) {
      int& count = *counts_of(control)[part];
      before[part] = count;
      shortened[part] = count == 4 && all_words(batch, step, first, part == kParts - 1);
      if (!shortened[part]) continue;
      control.places_per_pass -= 3;
      count = 1;
      parts |= 1u << part;
    }
    const Place* from = p_.vxm_places.data() + batch.first_place;
    batch.first_place = places_.size();
    for (uint32_t i = 0; i < batch.passes; ++i) {
      for (int part = 0; part < kParts; from += before[part++]) {
        places_.insert(places_.end(), from, from + (shortened[part] ? 1 : before[part]));
      }
    }
    if (parts != 0) batch.control = control_of(batch.control, parts, control);
  }

  // The number of a control with some parts shortened.
  uint32_t control_of(uint32_t number, uint32_t parts, const VxmControl& control) {
    const auto [at, added] = controls_.emplace(std::pair(number, parts), 0);
    if (added) {
      at->second = static_cast<uint32_t>(p_.vxm_controls.size());
      p_.vxm_controls.push_back(control);
    }
    return at->second;
  }

  Program& p_;
  const PagedVector<uint8_t>& words_;
  PagedVector<Place> places_;
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> controls_;
};

}  // namespace

void shorten_passes(Program& program, const PagedVector<uint8_t>& words) {
  PassShortener(program, words).run();
}

void find_words(Program& program, const PagedVector<Place>& homes, PagedVector<uint8_t>& words) {
  WordFinder(program, homes, words).run();
}

}  // namespace pianola
