"""Writes gradients.json beside this file: gradients of a dozen operators, and the losses of five steps of SGD of a
small network with batch normalization, by PyTorch in float64. Debian: python3-torch. Tensors are channels last."""

import json
import os

import torch
import torch.nn.functional as F

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)


def numbers(*shape):
    """Random numbers that float32 holds exactly, in few digits: multiples of 1/64."""
    return (torch.randint(-127, 128, shape) * 2 + 1) / 128


def last(t):
    return t.movedim(1, -1) if t.dim() > 2 else t


def plain(t):
    return {"shape": list(t.shape), "data": [float("%.9g" % v) for v in t.detach().flatten().tolist()]}


def case(op, attributes, f, x, **learned):
    """f(x, **learned) in PyTorch's layout, channels first; learned in the order of the node's inputs."""
    tensors = {"x": x, **learned}
    for t in tensors.values():
        t.requires_grad_(True)
    y = f(**tensors)
    seed = numbers(*y.shape)
    y.backward(seed)
    return {
        "op": op,
        "attributes": attributes,
        "tensors": {name: plain(last(t)) for name, t in tensors.items()},
        "output": plain(last(y)),
        "seed": plain(last(seed)),
        "gradients": {name: plain(last(t.grad)) for name, t in tensors.items()},
    }


def window(kernel, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), **more):
    return {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "pads": pads, **more}


def conv(x, w, b, attributes):
    a = attributes
    top, left, bottom, right = a["pads"]
    return F.conv2d(F.pad(x, (left, right, top, bottom)), w, b, a["strides"], 0, a["dilations"], a["group"])


def convolution(x, w, **options):
    attributes = window(w[2:], **options)
    return case("Conv", attributes, lambda x, w, b: conv(x, w, b, attributes), numbers(*x), w=numbers(*w), b=numbers(w[0]))


def pointwise(op, f, attributes=None):
    return case(op, attributes or {}, lambda x: f(x), 4 * numbers(2, 3, 2, 3) + 1 / 64)


def operators():
    return [
        convolution((2, 3, 5, 5), (4, 3, 3, 3), pads=(1, 1, 1, 1), group=1),
        convolution((1, 4, 6, 5), (4, 2, 3, 2), pads=(2, 0, 1, 1), strides=(2, 1), dilations=(1, 2), group=2),
        convolution((2, 4, 5, 4), (4, 1, 3, 3), pads=(1, 1, 1, 1), strides=(2, 2), group=4),
        case("Linear", {}, lambda x, w, b: F.linear(x, w, b), numbers(3, 6), w=numbers(4, 6), b=numbers(4)),
        case(
            "BatchNormalization",
            {"epsilon": 1e-5},
            lambda x, w, b: F.batch_norm(x, None, None, w, b, True, 0.1, 1e-5),
            numbers(3, 4, 3, 3),
            w=numbers(4),
            b=numbers(4),
        ),
        case("MaxPool", window((2, 2), (2, 2), ceil_mode=0), lambda x: F.max_pool2d(x, 2), torch.randperm(96).reshape(2, 3, 4, 4) / 64),
        case(
            "AveragePool",
            window((3, 3), (2, 2), (1, 1, 1, 1), ceil_mode=0, count_include_pad=1),
            lambda x: F.avg_pool2d(x, 3, 2, 1),
            numbers(2, 3, 5, 5),
        ),
        case(
            "AveragePool",
            window((3, 3), (2, 2), (1, 1, 1, 1), ceil_mode=0, count_include_pad=0),
            lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            numbers(2, 3, 5, 5),
        ),
        case("GlobalAveragePool", {}, lambda x: x.mean((2, 3), True), numbers(2, 3, 4, 3)),
        pointwise("Relu", F.relu),
        pointwise("LeakyRelu", lambda x: F.leaky_relu(x, 0.125), {"alpha": 0.125}),
        pointwise("Sigmoid", torch.sigmoid),
        pointwise("HardSwish", F.hardswish),
        pointwise("HardSigmoid", F.hardsigmoid, {"alpha": 1 / 6, "beta": 0.5}),
    ]


def steps():
    """Convolution, normalization by the batch, ReLU, global pool, classifier; SGD with Nesterov momentum and decay."""
    learned = {"w1": numbers(6, 3, 3, 3) / 4, "scale": 1 + numbers(6) / 4, "shift": numbers(6) / 4, "w2": numbers(4, 6), "b2": numbers(4)}
    x, labels = numbers(8, 3, 6, 6), [i % 4 for i in range(8)]
    start = {name: plain(last(t)) for name, t in learned.items()}
    for t in learned.values():
        t.requires_grad_(True)
    optimizer = torch.optim.SGD(list(learned.values()), 0.1, momentum=0.9, weight_decay=0.01, nesterov=True)
    mean, variance = torch.zeros(6), torch.ones(6)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        y = F.conv2d(x, learned["w1"], None, 1, 1)
        y = F.relu(F.batch_norm(y, mean, variance, learned["scale"], learned["shift"], True, 0.1, 1e-5))
        loss = F.cross_entropy(F.linear(y.mean((2, 3)), learned["w2"], learned["b2"]), torch.tensor(labels), label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {
        "x": plain(last(x)),
        "labels": labels,
        "start": start,
        "losses": losses,
        "end": {name: plain(last(t)) for name, t in learned.items()},
        "mean": plain(mean),
        "variance": plain(variance),
    }


path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gradients.json")
with open(path, "w") as file:
    json.dump({"torch": torch.__version__, "operators": operators(), "steps": steps()}, file, separators=(",", ":"))
    file.write("\n")
