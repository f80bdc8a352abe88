// Vectors that enter and leave by the ports.
#include <string>

#include "emulator/lifter.h"

namespace pianola {

Place Lifter::receive(const QueueInfo& info) {
  if (info.kind == QueueKind::HostRecv) {
    if (host_received_ == entry_.host_receive_vectors) {
      fail(Rule::PortExhausted, info.position, "host.recv");
      return 0;
    }
    return place_of(program_->host_input.data + lanes_ * host_received_++);
  }
  const bool tape = info.kind == QueueKind::TapeRecv;
  SegmentStep step;
  const Segment* segment = (tape ? tape_ : kv_read_).next(step.vector);
  if (segment == nullptr) {
    fail(Rule::PortExhausted, info.position, tape ? "tape.recv" : "kv.recv");
    return 0;
  }
  step.region = reinterpret_cast<const uint8_t*>(tape ? roll_.data.data() : memory_.kv);
  step.region_vectors = tape ? roll_.data.size() / lanes_ : roll_.metadata.kv_vectors;
  if (segment->parameter < 0) {
    if (step.vector >= step.region_vectors) {
      fail(Rule::AddressRange, info.position, "segment beyond its region");
      return 0;
    }
    return place_of(step.region + step.vector * lanes_);
  }
  step.to = new_vector();
  step.parameter = static_cast<uint32_t>(segment->parameter);
  step.limit = segment->limit;
  step.parameter_stride = segment->parameter_stride;
  add_operation(OperationKind::Receive, program_->segment_steps.size(), cycle_);
  program_->segment_steps.push_back(step);
  return step.to;
}

void Lifter::issue(const PortRecvInstruction& x, const Iteration&, const QueueInfo& info) {
  if (x.count < 1 || x.count > static_cast<uint32_t>(target_.port_width_vectors)) {
    return fail(Rule::IllegalEncoding, info.position, "count");
  }
  for (uint32_t i = 0; i < x.count && !error_; ++i) {
    drive_both(cycle_ + latency_port_recv(lanes_), info.position, x.out_dirs,
               x.out_stream + i, receive(info));
  }
}

void Lifter::issue(const PortSendInstruction& x, const Iteration&, const QueueInfo& info) {
  if (x.count < 1 || x.count > static_cast<uint32_t>(target_.port_width_vectors)) {
    return fail(Rule::IllegalEncoding, info.position, "count");
  }
  const bool kv = info.kind == QueueKind::KvSend;
  uint64_t& sent = kv ? kv_sent_ : host_sent_;
  const uint64_t limit = kv ? kv_write_vectors_ : entry_.host_send_vectors;
  for (uint32_t i = 0; i < x.count; ++i) {
    if (sent == limit) {
      return fail(Rule::PortExhausted, info.position, kv ? "kv.send" : "host.send");
    }
    uint8_t* to = (kv ? program_->kv_output : program_->host_output).data + lanes_ * sent++;
    add_copy(place_of(to), read(info.position, x.dir, x.stream + i));
  }
}

}  // namespace pianola
