// The modules of the SystemC platform: two stores (external memory, host link), the feeder, and the
// core as a thread. They are made once and armed anew for each launch.
//
// Transactions follow the approximately-timed base protocol: a store accepts a request with END_REQ
// at once and answers with BEGIN_RESP when the last beat has moved, which the feeder completes. The
// feeder asks only for what it has landing space for, so that an answer never waits.
#include "emulator/systemc_platform.h"

#include <tlm_utils/peq_with_get.h>
#include <tlm_utils/simple_initiator_socket.h>
#include <tlm_utils/simple_target_socket.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <systemc>
#include <tlm>
#include <vector>

#include "emulator/memory_ways.h"
#include "emulator/segment_walker.h"

namespace pianola {
namespace {

using sc_core::sc_time;
using Payload = tlm::tlm_generic_payload;

constexpr uint64_t kWordBytes = 32;
constexpr size_t kCoreStackBytes = 16 << 20;  // the Verilated core evaluates on it

// Regions of a store start at multiples of this address.
constexpr uint64_t kRegionBytes = uint64_t{1} << 44;

size_t index_of(PlatformPort port) { return static_cast<size_t>(port); }

// -- Transactions
// ----------------------------------------------------------------------------------

// A burst: the payload, its bytes, and whom it serves. They return to the pool that made them.
struct Burst {
  Payload payload;
  std::vector<unsigned char> bytes;
  uint32_t port = 0;
  uint64_t first = 0, count = 0;  // vectors or words, in the order of the port
};

class BurstPool : public tlm::tlm_mm_interface {
 public:
  Burst* take(size_t bytes) {
    if (free_.empty()) {
      all_.push_back(std::make_unique<Burst>());
      all_.back()->payload.set_mm(this);
      free_.push_back(all_.back().get());
    }
    Burst* burst = free_.back();
    free_.pop_back();
    burst->bytes.resize(bytes);
    burst->payload.acquire();
    in_use_.push_back(burst);
    return burst;
  }
  void free(Payload* payload) override {
    const auto found = std::find_if(in_use_.begin(), in_use_.end(),
                                    [payload](const Burst* b) { return &b->payload == payload; });
    CHECK(found != in_use_.end());
    free_.push_back(*found);
    in_use_.erase(found);
    payload->reset();
  }
  Burst* find(const Payload& payload) const {
    for (Burst* burst : in_use_) {
      if (&burst->payload == &payload) return burst;
    }
    return nullptr;
  }
  bool idle() const { return in_use_.empty(); }

 private:
  std::vector<std::unique_ptr<Burst>> all_;
  std::vector<Burst*> free_, in_use_;
};

// -- Stores
// ----------------------------------------------------------------------------------------

struct Region {
  const std::byte* read = nullptr;
  std::byte* write = nullptr;  // what is written arrives here at the end of the launch
  uint64_t bytes = 0;
  PlatformPort read_port = PlatformPort::None, write_port = PlatformPort::None;
};

// A memory behind a target socket, its regions each with their own ways. Bytes are read when their
// last beat moves; writes are kept back until the fence that ends the launch.
class Store : public sc_core::sc_module {
 public:
  tlm_utils::simple_target_socket<Store> socket;

  SC_HAS_PROCESS(Store);
  explicit Store(const sc_core::sc_module_name& name)
      : sc_module(name), socket("socket"), queue_("queue") {
    socket.register_nb_transport_fw(this, &Store::transport);
    SC_METHOD(respond);
    sensitive << queue_.get_event();
    dont_initialize();
  }

  void arm(const MemoryTiming& timing, bool refreshes, uint64_t period_picoseconds,
           std::vector<Region> regions, const std::array<uint64_t, kPlatformPorts>& rates,
           uint64_t shared_rate) {
    MemoryTiming own = timing;
    if (!refreshes) own.refresh_interval_cycles = own.refresh_cycles = 0;
    ways_ = MemoryWays(own, period_picoseconds, rates, shared_rate);
    start_ = sc_core::sc_time_stamp();
    regions_ = std::move(regions);
    written_.clear();
  }
  // The fence at the end of a launch.
  void commit() {
    for (const Written& write : written_) {
      std::memcpy(write.to, write.bytes.data(), write.bytes.size());
    }
    written_.clear();
  }

 private:
  struct Written {
    std::byte* to;
    std::vector<unsigned char> bytes;
  };

  tlm::tlm_sync_enum transport(Payload& payload, tlm::tlm_phase& phase, sc_time& delay) {
    if (phase != tlm::BEGIN_REQ) return tlm::TLM_ACCEPTED;
    payload.acquire();
    const Region* region = region_of(payload);
    const sc_time asked = sc_core::sc_time_stamp() + delay - start_;
    uint64_t done = asked.value();
    if (region) {
      const PlatformPort port = payload.is_read() ? region->read_port : region->write_port;
      done = ways_.schedule(port, done, payload.get_data_length());
    }
    queue_.notify(payload, start_ + sc_time::from_value(done) - sc_core::sc_time_stamp());
    phase = tlm::END_REQ;
    return tlm::TLM_UPDATED;
  }

  const Region* region_of(const Payload& payload) const {
    const uint64_t number = payload.get_address() / kRegionBytes;
    const uint64_t offset = payload.get_address() % kRegionBytes;
    if (number >= regions_.size()) return nullptr;
    const Region& region = regions_[number];
    if (offset + payload.get_data_length() > region.bytes) return nullptr;
    if (payload.is_read() ? !region.read : !region.write) return nullptr;
    return &region;
  }

  void respond() {
    while (Payload* payload = queue_.get_next_transaction()) {
      const Region* region = region_of(*payload);
      const uint64_t offset = payload->get_address() % kRegionBytes;
      unsigned char* data = payload->get_data_ptr();
      const unsigned length = payload->get_data_length();
      payload->set_response_status(region ? tlm::TLM_OK_RESPONSE : tlm::TLM_ADDRESS_ERROR_RESPONSE);
      if (region && payload->is_read()) {
        std::memcpy(data, region->read + offset, length);
      } else if (region) {
        written_.push_back({region->write + offset, {data, data + length}});
      }
      tlm::tlm_phase phase = tlm::BEGIN_RESP;
      sc_time delay = sc_core::SC_ZERO_TIME;
      const tlm::tlm_sync_enum answer = socket->nb_transport_bw(*payload, phase, delay);
      CHECK(answer == tlm::TLM_COMPLETED);
      payload->release();
    }
  }

  tlm_utils::peq_with_get<Payload> queue_;
  MemoryWays ways_;
  sc_time start_;
  std::vector<Region> regions_;
  std::vector<Written> written_;
};

// -- Feeder
// ----------------------------------------------------------------------------------------

// What the core asks of the feeder.
class FeederInterface : public virtual sc_core::sc_interface {
 public:
  // Vectors or words that a port of the core takes or gives at the clock edge `offset` from now.
  virtual uint32_t move(uint32_t port, uint32_t most, const sc_time& offset) = 0;
  // What the core was to give at earlier clock edges than that one is there.
  virtual void settle(const sc_time& offset) = 0;
  // The core has finished: what it has given still goes out.
  virtual void finish() = 0;
  virtual bool idle() const = 0;
  virtual const sc_core::sc_event& idle_event() const = 0;
};

// The DMA engine of the ports. It walks the segment lists of the entry and keeps as many bursts
// under way as it has landing space for; no port's progress depends on another's.
class Feeder : public sc_core::sc_module, public FeederInterface {
 public:
  tlm_utils::simple_initiator_socket<Feeder> memory_socket, host_socket;

  SC_HAS_PROCESS(Feeder);
  explicit Feeder(const sc_core::sc_module_name& name)
      : sc_module(name), memory_socket("memory_socket"), host_socket("host_socket") {
    memory_socket.register_nb_transport_bw(this, &Feeder::respond);
    host_socket.register_nb_transport_bw(this, &Feeder::respond);
    SC_METHOD(issue);
    sensitive << wake_;
    dont_initialize();
  }

  void arm(const PlatformLaunch& launch, const std::array<uint64_t, kPlatformPorts>& rates);
  CorePorts core_ports();
  void start() { wake_.notify(sc_core::SC_ZERO_TIME); }

  uint32_t move(uint32_t port, uint32_t most, const sc_time& offset) override;
  void settle(const sc_time& offset) override;
  void finish() override {
    settle(sc_core::SC_ZERO_TIME);
    finished_ = true;
    wake_.notify(sc_core::SC_ZERO_TIME);
  }
  bool idle() const override {
    for (size_t p = kFirstSend; p < ports_.size(); ++p) {
      if (std::min(ports_[p].landed, ports_[p].total) != ports_[p].gone) return false;
    }
    return pool_.idle();
  }
  const sc_core::sc_event& idle_event() const override { return idle_; }

 private:
  static constexpr size_t kFirstSend = 4;

  // One port. In order: requested <= total. Receiving, `landed` have arrived from the store and
  // `gone` have been taken by the core; sending, `landed` came from the core (`coming` more follow
  // after this clock edge) and `gone` have been acknowledged by the store.
  struct Port {
    SegmentWalker walker;
    Segment whole;        // where there is no list: neighbouring addresses from 0
    uint64_t region = 0;  // address of its region
    uint64_t unit_bytes = 1, total = 0, burst = 1, capacity = 1, watermark = 1;
    uint64_t requested = 0, coming = 0, landed = 0, gone = 0;
    uint64_t slots = 1;  // of `bytes`, in units
    std::vector<std::byte> bytes;
    bool flowing = false;  // the watermark has been reached
  };

  void issue();
  void request(uint32_t number, SegmentWalker::Run run);
  tlm::tlm_sync_enum respond(Payload& payload, tlm::tlm_phase& phase, sc_time& delay);

  std::array<Port, kPlatformPorts> ports_;
  BurstPool pool_;
  sc_core::sc_event wake_, idle_;
  bool finished_ = false;
};

void Feeder::arm(const PlatformLaunch& launch, const std::array<uint64_t, kPlatformPorts>& rates) {
  const Entry& entry = *launch.entry;
  const auto lanes = static_cast<uint64_t>(launch.target->lanes);
  finished_ = false;
  const auto vectors_of = [&](const std::vector<Segment>& list) {
    return SegmentWalker(list, launch.registers).vectors();
  };
  const std::array<uint64_t, kPlatformPorts> totals = {
      vectors_of(entry.tape), vectors_of(entry.kv_read),  entry.host_receive_vectors,
      launch.words.size(),    vectors_of(entry.kv_write), entry.host_send_vectors};
  constexpr std::array<uint64_t, kPlatformPorts> kRegions = {0, 1, 0, 2, 1, 1};
  const std::array<const std::vector<Segment>*, kPlatformPorts> lists = {
      &entry.tape, &entry.kv_read, nullptr, nullptr, &entry.kv_write, nullptr};
  for (size_t p = 0; p < ports_.size(); ++p) {
    Port& port = ports_[p];
    port.region = kRegions[p] * kRegionBytes;
    port.unit_bytes = p == index_of(PlatformPort::Words) ? kWordBytes : lanes;
    port.total = totals[p];
    port.burst = std::max<uint64_t>(1, launch.timing->burst_bytes / port.unit_bytes);
    // Room for what arrives while a request is on its way, and some bursts: enough that a port
    // whose memory keeps the target's rate never waits.
    const uint64_t in_flight =
        ((launch.timing->latency_cycles + 2) * rates[p] + port.unit_bytes - 1) / port.unit_bytes;
    port.capacity = in_flight + 4 * port.burst;
    port.watermark = std::min(port.total, 2 * port.burst);
    port.requested = port.coming = port.landed = port.gone = 0;
    port.flowing = false;
    port.whole = Segment{};
    port.whole.count = static_cast<uint32_t>(port.total);
    port.walker = lists[p] ? SegmentWalker(*lists[p], launch.registers)
                           : SegmentWalker(std::span(&port.whole, 1), {});
    const bool whole = p == index_of(PlatformPort::Words) || p >= kFirstSend;
    port.slots = whole ? std::max<uint64_t>(port.total, 1) : port.capacity;
    port.bytes.resize(port.slots * port.unit_bytes);
  }
}

CorePorts Feeder::core_ports() {
  CorePorts ports;
  for (size_t i = 0; i < 3; ++i) ports.receive[i] = {ports_[i].bytes.data(), ports_[i].slots};
  ports.words =
      reinterpret_cast<const uint64_t*>(ports_[index_of(PlatformPort::Words)].bytes.data());
  for (size_t s = 0; s < 2; ++s) ports.send[s] = ports_[kFirstSend + s].bytes.data();
  return ports;
}

uint32_t Feeder::move(uint32_t number, uint32_t most, const sc_time& offset) {
  Port& port = ports_[number];
  uint64_t count = 0;
  if (number < kFirstSend) {
    if (!port.flowing && port.landed < port.watermark) return 0;
    port.flowing = true;
    count = std::min<uint64_t>(most, port.landed - port.gone);
    port.gone += count;
    if (count > 0 && port.requested < port.total) wake_.notify(offset);
  } else {
    // What exceeds the declared vectors is taken and dropped: the device reports it.
    const uint64_t given = port.landed + port.coming;
    count =
        given >= port.total ? most : std::min<uint64_t>(most, port.capacity - (given - port.gone));
    port.coming += count;
  }
  return static_cast<uint32_t>(count);
}

void Feeder::settle(const sc_time& offset) {
  bool any = false;
  for (size_t p = kFirstSend; p < ports_.size(); ++p) {
    Port& port = ports_[p];
    any = any || port.coming > 0;
    port.landed += port.coming;
    port.coming = 0;
  }
  if (any) wake_.notify(offset);
}

void Feeder::issue() {
  for (uint32_t p = 0; p < ports_.size(); ++p) {
    Port& port = ports_[p];
    if (p < kFirstSend) {
      while (!finished_ && port.requested < port.total) {
        const uint64_t space = port.capacity - (port.requested - port.gone);
        if (space < port.burst) break;
        request(p, port.walker.next(port.burst));
      }
    } else {
      while (port.requested < std::min(port.landed, port.total)) {
        const uint64_t waiting = port.landed - port.requested;
        if (waiting < port.burst && port.landed < port.total && !finished_) break;
        request(p, port.walker.next(std::min(waiting, port.burst)));
      }
    }
  }
  if (idle()) idle_.notify(sc_core::SC_ZERO_TIME);
}

void Feeder::request(uint32_t number, SegmentWalker::Run run) {
  Port& port = ports_[number];
  Burst* burst = pool_.take(run.count * port.unit_bytes);
  burst->port = number;
  burst->first = port.requested;
  burst->count = run.count;
  port.requested += run.count;
  Payload& payload = burst->payload;
  payload.set_command(number < kFirstSend ? tlm::TLM_READ_COMMAND : tlm::TLM_WRITE_COMMAND);
  payload.set_address(port.region + run.first * port.unit_bytes);
  payload.set_data_ptr(burst->bytes.data());
  payload.set_data_length(static_cast<unsigned>(burst->bytes.size()));
  payload.set_streaming_width(static_cast<unsigned>(burst->bytes.size()));
  payload.set_byte_enable_ptr(nullptr);
  payload.set_dmi_allowed(false);
  payload.set_response_status(tlm::TLM_INCOMPLETE_RESPONSE);
  if (number >= kFirstSend) {
    std::memcpy(burst->bytes.data(), port.bytes.data() + burst->first * port.unit_bytes,
                burst->bytes.size());
  }
  tlm::tlm_phase phase = tlm::BEGIN_REQ;
  sc_time delay = sc_core::SC_ZERO_TIME;
  const bool host =
      number == index_of(PlatformPort::HostReceive) || number == index_of(PlatformPort::HostSend);
  auto& socket = host ? host_socket : memory_socket;
  const tlm::tlm_sync_enum answer = socket->nb_transport_fw(payload, phase, delay);
  CHECK(answer == tlm::TLM_UPDATED && phase == tlm::END_REQ);
}

tlm::tlm_sync_enum Feeder::respond(Payload& payload, tlm::tlm_phase& phase, sc_time&) {
  CHECK(phase == tlm::BEGIN_RESP && payload.is_response_ok());
  const Burst* burst = pool_.find(payload);
  CHECK(burst);
  Port& port = ports_[burst->port];
  if (burst->port < kFirstSend) {
    for (uint64_t i = 0; i < burst->count; ++i) {
      std::memcpy(port.bytes.data() + (burst->first + i) % port.slots * port.unit_bytes,
                  burst->bytes.data() + i * port.unit_bytes, port.unit_bytes);
    }
    port.landed += burst->count;
  } else {
    port.gone += burst->count;
  }
  payload.release();
  if (finished_) wake_.notify(sc_core::SC_ZERO_TIME);  // looks whether all is idle
  return tlm::TLM_COMPLETED;
}

// -- Core
// ------------------------------------------------------------------------------------------

// The core is a thread that plays one launch at a time. It runs ahead of simulated time where
// nothing can happen before the clock edge that it stands at.
class CoreModule : public sc_core::sc_module {
 public:
  sc_core::sc_port<FeederInterface> feeder;

  SC_HAS_PROCESS(CoreModule);
  explicit CoreModule(const sc_core::sc_module_name& name) : sc_module(name), feeder("feeder") {
    SC_THREAD(run);
    set_stack_size(kCoreStackBytes);
  }

  void arm(PlatformCore& core, const CorePorts& ports, const sc_time& period) {
    core_ = &core;
    ports_ = ports;
    ports_.allow = &CoreModule::allow;
    ports_.allow_context = this;
    period_ = period;
    start_ = sc_core::sc_time_stamp();
    asked_edge_.fill(std::numeric_limits<uint64_t>::max());
    repeats_.fill(0);
    edge_ = 0;
    done_ = false;
    begin_.notify(sc_core::SC_ZERO_TIME);
  }
  bool done() const { return done_; }
  bool good() const { return good_; }

 private:
  void run() {
    for (;;) {
      wait(begin_);
      good_ = core_->play(ports_);
      advance();
      feeder->finish();
      while (!feeder->idle()) wait(feeder->idle_event());
      done_ = true;
    }
  }
  // After END the core asks for one number of a clock edge again and again; those are edges too.
  static uint32_t allow(void* context, uint32_t port, uint64_t edge, uint32_t most) {
    auto& self = *static_cast<CoreModule*>(context);
    if (self.asked_edge_[port] == edge) {
      ++self.repeats_[port];
    } else {
      self.asked_edge_[port] = edge;
      self.repeats_[port] = 0;
    }
    const bool later = edge + self.repeats_[port] > self.edge_;
    if (later) self.edge_ = edge + self.repeats_[port];
    self.advance();
    if (later) self.feeder->settle(self.offset());
    return self.feeder->move(port, most, self.offset());
  }
  sc_time offset() const {
    const sc_time edge = start_ + sc_time::from_value(period_.value() * edge_);
    return edge > sc_core::sc_time_stamp() ? edge - sc_core::sc_time_stamp()
                                           : sc_core::SC_ZERO_TIME;
  }
  void advance() {
    const sc_time ahead = offset();
    if (ahead == sc_core::SC_ZERO_TIME) return;
    if (sc_core::sc_time_to_pending_activity(sc_core::sc_get_curr_simcontext()) > ahead) return;
    wait(ahead);
  }

  PlatformCore* core_ = nullptr;
  CorePorts ports_;
  sc_time period_, start_;
  std::array<uint64_t, kPlatformPorts> asked_edge_{}, repeats_{};
  uint64_t edge_ = 0;
  bool done_ = true, good_ = false;
  sc_core::sc_event begin_;
};

// -- Platform
// --------------------------------------------------------------------------------------

class Platform : public sc_core::sc_module {
 public:
  explicit Platform(const sc_core::sc_module_name& name)
      : sc_module(name), memory_("memory"), host_("host"), feeder_("feeder"), core_("core") {
    feeder_.memory_socket.bind(memory_.socket);
    feeder_.host_socket.bind(host_.socket);
    core_.feeder.bind(feeder_);
  }

  void play(const PlatformLaunch& launch) {
    const Target& target = *launch.target;
    const auto period = static_cast<uint64_t>(std::llround(1e6 / target.clock_mhz));
    const auto rate = [](int bytes) { return static_cast<uint64_t>(bytes); };
    const std::array<uint64_t, kPlatformPorts> rates = {
        rate(target.tape_bytes_per_cycle), rate(target.kv_bytes_per_cycle),
        rate(target.host_bytes_per_cycle), rate(target.instruction_bytes_per_cycle),
        rate(target.kv_bytes_per_cycle),   rate(target.host_bytes_per_cycle)};
    memory_.arm(
        *launch.timing, true, period,
        {{launch.tape.data(), nullptr, launch.tape.size(), PlatformPort::Tape, PlatformPort::None},
         {launch.kv.data(), launch.kv.data(), launch.kv.size(), PlatformPort::KvRead,
          PlatformPort::KvWrite},
         {reinterpret_cast<const std::byte*>(launch.words.data()), nullptr,
          launch.words.size_bytes(), PlatformPort::Words, PlatformPort::None}},
        rates, rate(target.memory_bytes_per_cycle));
    host_.arm(*launch.timing, false, period,
              {{launch.host_input.data(), nullptr, launch.host_input.size(),
                PlatformPort::HostReceive, PlatformPort::None},
               {nullptr, launch.host_output.data(), launch.host_output.size(), PlatformPort::None,
                PlatformPort::HostSend}},
              rates, 0);
    feeder_.arm(launch, rates);
    core_.arm(*launch.core, feeder_.core_ports(), sc_time::from_value(period));
    feeder_.start();
    sc_core::sc_start();  // until nothing happens any more
    CHECK(core_.done());
    if (!core_.good()) return;
    memory_.commit();
    host_.commit();
  }

 private:
  Store memory_, host_;
  Feeder feeder_;
  CoreModule core_;
};

}  // namespace

Status check_platform() { return Ok{}; }

Status play_on_platform(const PlatformLaunch& launch) {
  // Elaborated once in a process and never taken down: SystemC allows no other way.
  static std::mutex turn;
  const std::lock_guard<std::mutex> lock(turn);
  static Platform* platform = nullptr;
  if (!platform) {
    platform = new Platform("platform");
    sc_core::sc_start(sc_core::SC_ZERO_TIME);
  }
  platform->play(launch);
  return Ok{};
}

}  // namespace pianola

// The library asks for it; the programs of this project have a main of their own.
int sc_main(int, char**) { return 0; }
