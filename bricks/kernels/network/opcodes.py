"""Numbers of the operators of a program, and the fields of a step: plain numbers, for compiled code and for who writes programs."""

# the columns of a step
OPERATOR, INPUTS, OUTPUTS, NUMBER, INDEX, SIZE, EXTRA, OPTION = range(8)
FIELDS = 8

DENSE = 1  # out[j] = bias[j] + sum over i of in[i] * weight[i, j]; numbers: weights [inputs, outputs], biases
SCALE = 2  # (in - offset) / divisor; numbers: offsets, divisors
ADD = 3  # in * factor + offset; numbers: factors, offsets
CLIP = 4  # at least the first number, at most the second; numbers: lowest, highest
RELU, LEAKY, ELU, SIGMOID, TANH, ABOVE = 5, 6, 7, 8, 9, 10  # one number: the slope of LEAKY, the factor of ELU, 1.0 above it else 0.0
SOFTMAX = 11
NORMALISE = 12  # divided by the sum; equal shares where that is 0
TREES = 13  # sums over `size` trees with `extra` nodes in all; option 1: inputs are rounded to float32
#             numbers: thresholds [nodes], values [nodes, outputs]
#             indices: roots [trees], then feature, left and right [nodes] (-1: a leaf)
NEAREST = 14  # shares of the classes among the `extra` nearest of `size` points; option 1: weighted by 1 / distance
#               numbers: points [size, inputs]; indices: class of each point
GAUSSIAN = 15  # log density of each class; numbers by class: a constant, means [inputs], variances [inputs]
