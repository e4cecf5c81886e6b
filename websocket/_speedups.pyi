# The compiled twin has the names of the Python one, and the same types.
from ._fallback import BaseConnection as BaseConnection
from ._fallback import BaseFrameDecoder as BaseFrameDecoder
from ._fallback import BinaryFragment as BinaryFragment
from ._fallback import BinaryMessage as BinaryMessage
from ._fallback import SendData as SendData
from ._fallback import TextFragment as TextFragment
from ._fallback import TextMessage as TextMessage
from ._fallback import apply_mask as apply_mask
from ._fallback import encode_frame as encode_frame
