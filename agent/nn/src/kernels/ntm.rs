//! One step of the memory of a neural Turing machine (Graves et al. 2014, arXiv:1410.5401, section 3), lane by lane, with
//! its gradient. One head writes, then the others read what is in memory after the write.

use multiversion::multiversion;

use super::addressing::{
    Found, LaneSizes, Lookup, MemorySizes, Saved, Write, WriteGradients, oneplus, oneplus_gradient,
    parts, parts_mut, read, read_gradient, row_norms, sigmoids, sigmoids_gradient, softmax,
    softmax_gradient, with_known_sizes,
};
use super::math::{ln, sigmoid};

/// Shifts of a head, by -1, 0 and 1 slots.
const SHIFTS: usize = 3;
/// Added to weights before their logarithm.
const FLOOR: f32 = 1e-12;

impl MemorySizes {
    /// Numbers of a lane's state: reads `[R, W]`, memory `[N, W]`, write weights `[N]`, read weights `[R, N]`. Weights are
    /// kept with 1 taken off that of the first slot: zeros are the state before the first step, in which every head
    /// stands at the first slot.
    pub fn ntm_state_parts(self) -> [usize; 4] {
        let Self {
            slots: n,
            width: w,
            heads: r,
            ..
        } = self;
        [r * w, n * w, n, r * n]
    }

    /// Numbers of a lane's interface: address of the write head `[W + 6]`, erase `[W]`, add `[W]`, addresses of the read
    /// heads `[R, W + 6]`. An address is a key `[W]`, its strength, the gate between content and the last weights, shifts
    /// by -1, 0 and 1, and the sharpening.
    pub fn ntm_interface_parts(self) -> [usize; 4] {
        let (w, r) = (self.width, self.heads);
        let address = self.address();
        [address, w, w, r * address]
    }

    fn address(self) -> usize {
        self.address_parts().iter().sum()
    }

    fn address_parts(self) -> [usize; 5] {
        [self.width, 1, 1, SHIFTS, 1]
    }

    /// Numbers of a lane's trace: the interface after its activations, norms of the rows before and after the write; of
    /// each head, the write head first, content and its cosines, and the shifted weights.
    fn ntm_trace_parts(self) -> [usize; 4] {
        let (n, r) = (self.slots, self.heads);
        let interface = self.ntm_interface_parts().iter().sum();
        [interface, n, n, 3 * (r + 1) * n]
    }

    pub(crate) fn ntm_lane(self) -> LaneSizes {
        LaneSizes {
            state: self.ntm_state_parts().iter().sum(),
            interface: self.ntm_interface_parts().iter().sum(),
            trace: self.ntm_trace_parts().iter().sum(),
        }
    }
}

/// Computes the state after a step of every lane, and the trace that its backward pass needs. `after` and `before`
/// `[lanes, state]`, `trace` `[lanes, trace]`, `interface` `[lanes, interface]`.
#[multiversion(targets = "simd")]
pub(crate) fn ntm_step(
    (after, trace): (&mut [f32], &mut [f32]),
    before: &[f32],
    interface: &[f32],
    sizes: MemorySizes,
) {
    with_known_sizes!(sizes, step_lanes((after, trace), before, interface, sizes));
}

/// Computes the gradients of the state before a step and of the interface, which begin with zeros, from that of the state
/// after it, which is overwritten.
#[multiversion(targets = "simd")]
pub(crate) fn ntm_step_gradient(
    d: (&mut [f32], &mut [f32]),
    d_after: &mut [f32],
    saved: Saved<'_>,
    sizes: MemorySizes,
) {
    with_known_sizes!(sizes, gradient_lanes(d, d_after, saved, sizes));
}

/// An address after its activations, and the weights before the step.
#[derive(Clone, Copy)]
struct Address<'a> {
    lookup: Lookup<'a>,
    gate: f32,
    shifts: &'a [f32],
    sharpening: f32,
    last: &'a [f32],
}

impl<'a> Address<'a> {
    /// `control`: the address after its activations. `last`: the weights before the step, as the state keeps them.
    #[inline(always)]
    fn of(
        control: &'a [f32],
        last: &'a [f32],
        (memory, norms): (&'a [f32], &'a [f32]),
        sizes: MemorySizes,
    ) -> Self {
        let [key, strength, gate, shifts, sharpening] = parts(control, sizes.address_parts());
        Self {
            lookup: Lookup {
                key,
                strength: strength[0],
                memory,
                norms,
                filled: None,
            },
            gate: gate[0],
            shifts,
            sharpening: sharpening[0],
            last,
        }
    }

    /// The weight of a slot before the step.
    #[inline(always)]
    fn last(self, slot: usize) -> f32 {
        self.last[slot] + if slot == 0 { 1.0 } else { 0.0 }
    }

    /// The weight of a slot between content and the last weights.
    #[inline(always)]
    fn gated(self, content: &[f32], slot: usize) -> f32 {
        let last = self.last(slot);
        self.gate.mul_add(content[slot] - last, last)
    }

    /// Computes the weights after the step: lookup, gate, shift, sharpening.
    #[inline(always)]
    fn weights(self, weights: &mut [f32], trace: &mut [f32]) {
        let slots = weights.len();
        let [content, cosines, shifted] = parts_mut(trace, [slots; 3]);
        self.lookup.weights(Found {
            weights: content,
            cosines,
        });
        for (slot, shifted) in shifted.iter_mut().enumerate() {
            *shifted = 0.0;
            for (shift, from) in self.shifts.iter().zip(sources(slot, slots)) {
                *shifted = shift.mul_add(self.gated(content, from), *shifted);
            }
        }
        // w^γ / Σ w^γ, by logarithms.
        for (weight, shifted) in weights.iter_mut().zip(shifted) {
            *weight = self.sharpening * ln(*shifted + FLOOR);
        }
        softmax(weights);
    }

    /// Backward pass of [`Address::weights`], from the gradient of the weights, which is overwritten. Adds to the gradients
    /// of the last weights, the memory and the address.
    #[inline(always)]
    fn gradient(
        self,
        (d_last, d_memory, d_address): (&mut [f32], &mut [f32], &mut [f32]),
        d: &mut [f32],
        (weights, trace): (&[f32], &[f32]),
        ([d_gated, d_content], sizes): (&mut [Vec<f32>; 2], MemorySizes),
    ) {
        let slots = weights.len();
        let [content, cosines, shifted] = parts(trace, [slots; 3]);
        let [d_key, d_strength, d_gate, d_shifts, d_sharpening] =
            parts_mut(d_address, sizes.address_parts());
        softmax_gradient(d, weights);
        d_gated.fill(0.0);
        for (slot, d) in d.iter().enumerate() {
            let shifted = shifted[slot] + FLOOR;
            d_sharpening[0] += d * ln(shifted);
            let d_shifted = self.sharpening * d / shifted;
            let of_shifts = d_shifts.iter_mut().zip(self.shifts);
            for ((d_shift, shift), from) in of_shifts.zip(sources(slot, slots)) {
                *d_shift += d_shifted * self.gated(content, from);
                d_gated[from] += d_shifted * shift;
            }
        }
        for (slot, d) in d_gated.iter().enumerate() {
            d_gate[0] += d * (content[slot] - self.last(slot));
            d_content[slot] = self.gate * d;
            d_last[slot] += (1.0 - self.gate) * d;
        }
        d_strength[0] += self
            .lookup
            .gradient((d_key, d_memory), d_content, content, cosines);
    }
}

/// The slots from which weight comes to a slot by shifts of -1, 0 and 1, around the circle.
#[inline(always)]
fn sources(slot: usize, slots: usize) -> [usize; SHIFTS] {
    let after = if slot + 1 == slots { 0 } else { slot + 1 };
    let before = if slot == 0 { slots - 1 } else { slot - 1 };
    [after, slot, before]
}

#[inline(always)]
fn step_lanes(
    (after, trace): (&mut [f32], &mut [f32]),
    before: &[f32],
    interface: &[f32],
    sizes: MemorySizes,
) {
    let lane = sizes.ntm_lane();
    let lanes = before
        .chunks_exact(lane.state)
        .zip(interface.chunks_exact(lane.interface));
    let results = after
        .chunks_exact_mut(lane.state)
        .zip(trace.chunks_exact_mut(lane.trace));
    for ((after, trace), (before, interface)) in results.zip(lanes) {
        step_lane((after, trace), before, interface, sizes);
    }
}

#[inline(always)]
fn step_lane(
    (after, trace): (&mut [f32], &mut [f32]),
    before: &[f32],
    interface: &[f32],
    sizes: MemorySizes,
) {
    let slots = sizes.slots;
    let [_, memory, written, read_by] = parts(before, sizes.ntm_state_parts());
    let [words, memory_after, writing, reading] = parts_mut(after, sizes.ntm_state_parts());
    let [control, norms, norms_after, of_heads] = parts_mut(trace, sizes.ntm_trace_parts());
    activate(control, interface, sizes);
    let [write_address, erase, add, addresses] = parts(control, sizes.ntm_interface_parts());
    let (of_write, of_reads) = of_heads.split_at_mut(3 * slots);
    row_norms(norms, memory, sizes.width);
    Address::of(write_address, written, (memory, norms), sizes).weights(writing, of_write);
    if sizes.writes {
        let write = Write {
            weights: writing,
            erase,
            add,
        };
        write.apply(memory_after, memory);
    } else {
        memory_after.copy_from_slice(memory);
    }
    writing[0] -= 1.0;
    row_norms(norms_after, memory_after, sizes.width);
    for (head, trace) in of_reads.chunks_exact_mut(3 * slots).enumerate() {
        let of_slots = sizes.head(head, slots);
        let control = &addresses[sizes.head(head, sizes.address())];
        let last = &read_by[of_slots.clone()];
        let reading = &mut reading[of_slots];
        let address = Address::of(control, last, (memory_after, norms_after), sizes);
        address.weights(reading, trace);
        read(
            &mut words[sizes.head(head, sizes.width)],
            reading,
            memory_after,
        );
        reading[0] -= 1.0;
    }
}

/// Applies the activations of the interface.
#[inline(always)]
fn activate(control: &mut [f32], interface: &[f32], sizes: MemorySizes) {
    control.copy_from_slice(interface);
    let [write_address, erase, _, addresses] = parts_mut(control, sizes.ntm_interface_parts());
    let [_, raw_erase, ..] = parts(interface, sizes.ntm_interface_parts());
    sigmoids(erase, raw_erase);
    activate_address(write_address, sizes);
    for address in addresses.chunks_exact_mut(sizes.address()) {
        activate_address(address, sizes);
    }
}

#[inline(always)]
fn activate_address(address: &mut [f32], sizes: MemorySizes) {
    let [_, strength, gate, shifts, sharpening] = parts_mut(address, sizes.address_parts());
    strength[0] = oneplus(strength[0]);
    gate[0] = sigmoid(gate[0]);
    softmax(shifts);
    sharpening[0] = oneplus(sharpening[0]);
}

/// Backward pass of [`activate_address`], in place.
#[inline(always)]
fn activate_address_gradient(d: &mut [f32], raw: &[f32], control: &[f32], sizes: MemorySizes) {
    let lengths = sizes.address_parts();
    let [_, strength, _, _, sharpening] = parts(raw, lengths);
    let [_, _, gate, shifts, _] = parts(control, lengths);
    let [_, d_strength, d_gate, d_shifts, d_sharpening] = parts_mut(d, lengths);
    oneplus_gradient(d_strength, strength);
    sigmoids_gradient(d_gate, gate);
    softmax_gradient(d_shifts, shifts);
    oneplus_gradient(d_sharpening, sharpening);
}

#[inline(always)]
fn gradient_lanes(
    (d_before, d_interface): (&mut [f32], &mut [f32]),
    d_after: &mut [f32],
    saved: Saved<'_>,
    sizes: MemorySizes,
) {
    let of_lane = sizes.ntm_lane();
    let mut scratch = Scratch {
        slots: [vec![0.0; sizes.slots], vec![0.0; sizes.slots]],
        weights: vec![0.0; sizes.slots],
        row: vec![0.0; sizes.width],
    };
    let gradients = d_before
        .chunks_exact_mut(of_lane.state)
        .zip(d_interface.chunks_exact_mut(of_lane.interface));
    let lanes = gradients.zip(d_after.chunks_exact_mut(of_lane.state));
    for (lane, (d, d_after)) in lanes.enumerate() {
        let saved = saved.lane(lane, of_lane);
        gradient_lane(d, d_after, saved, &mut scratch, sizes);
    }
}

/// Buffers for one lane's intermediate values.
struct Scratch {
    slots: [Vec<f32>; 2],
    weights: Vec<f32>,
    row: Vec<f32>,
}

#[inline(always)]
fn gradient_lane(
    (d_before, d_interface): (&mut [f32], &mut [f32]),
    d_after: &mut [f32],
    saved: Saved<'_>,
    scratch: &mut Scratch,
    sizes: MemorySizes,
) {
    let slots = sizes.slots;
    let [_, memory, written, read_by] = parts(saved.before, sizes.ntm_state_parts());
    let [_, memory_after, writing, reading] = parts(saved.after, sizes.ntm_state_parts());
    let [control, norms, norms_after, of_heads] = parts(saved.trace, sizes.ntm_trace_parts());
    let [write_address, erase, add, addresses] = parts(control, sizes.ntm_interface_parts());
    let [raw_address, _, _, raw_addresses] = parts(saved.interface, sizes.ntm_interface_parts());
    let [_, d_memory, d_written, d_read_by] = parts_mut(d_before, sizes.ntm_state_parts());
    let [d_words, d_memory_after, d_writing, d_reading] =
        parts_mut(d_after, sizes.ntm_state_parts());
    let [d_address, d_erase, d_add, d_addresses] =
        parts_mut(d_interface, sizes.ntm_interface_parts());
    let (of_write, of_reads) = of_heads.split_at(3 * slots);
    let Scratch {
        slots: buffers,
        weights,
        row,
    } = scratch;
    for (head, trace) in of_reads.chunks_exact(3 * slots).enumerate() {
        let of_slots = sizes.head(head, slots);
        let of_address = sizes.head(head, sizes.address());
        restore(weights, &reading[of_slots.clone()]);
        let d_weights = &mut d_reading[of_slots.clone()];
        let d_word = &d_words[sizes.head(head, sizes.width)];
        read_gradient(
            (&mut *d_weights, &mut *d_memory_after),
            d_word,
            weights,
            memory_after,
        );
        let control = &addresses[of_address.clone()];
        let last = &read_by[of_slots.clone()];
        let address = Address::of(control, last, (memory_after, norms_after), sizes);
        let d_address = &mut d_addresses[of_address.clone()];
        let d_operands = (
            &mut d_read_by[of_slots],
            &mut *d_memory_after,
            &mut *d_address,
        );
        address.gradient(d_operands, d_weights, (weights, trace), (buffers, sizes));
        activate_address_gradient(d_address, &raw_addresses[of_address], control, sizes);
    }
    restore(weights, writing);
    if sizes.writes {
        let d_operands = WriteGradients {
            memory: &mut *d_memory,
            weights: &mut *d_writing,
            erase: &mut *d_erase,
            add: d_add,
        };
        let write = Write {
            weights,
            erase,
            add,
        };
        write.gradient(d_operands, d_memory_after, memory, row);
    } else {
        d_memory.copy_from_slice(d_memory_after);
    }
    sigmoids_gradient(d_erase, erase);
    let address = Address::of(write_address, written, (memory, norms), sizes);
    let d_operands = (d_written, d_memory, &mut *d_address);
    address.gradient(d_operands, d_writing, (weights, of_write), (buffers, sizes));
    activate_address_gradient(d_address, raw_address, write_address, sizes);
}

/// Weights from the form in which the state keeps them.
#[inline(always)]
fn restore(weights: &mut [f32], kept: &[f32]) {
    weights.copy_from_slice(kept);
    weights[0] += 1.0;
}
