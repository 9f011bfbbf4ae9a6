# cython: language_level=3, boundscheck=False, wraparound=False
"""``by_source`` of ``pipeline.kafka.records``, which is its meaning, for four tenths of its time less.

A method without arguments is looked up and called through Python's protocol six times for each message. Here its C
function is called, which the method's descriptor has. Where confluent-kafka has such methods no longer this module
cannot be imported, and the other takes its place.
"""

from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM

from confluent_kafka import Message

from pipeline.core.records import Record
from pipeline.kafka.records import to_record

cdef extern from *:
    """
    typedef PyObject *(*Getter)(PyObject *, PyObject *);

    static Getter getter_of(PyObject *method) {
        PyMethodDef *found;
        if (!PyObject_TypeCheck(method, &PyMethodDescr_Type)) return NULL;
        found = ((PyMethodDescrObject *)method)->d_method;
        return found->ml_flags == METH_NOARGS ? (Getter)found->ml_meth : NULL;
    }

    static PyObject *new_record(PyObject *type, PyObject *offset, PyObject *stamp, PyObject *value) {
        PyObject *record = ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 4);
        if (record == NULL) return NULL;
        PyTuple_SET_ITEM(record, 0, Py_NewRef(offset));
        PyTuple_SET_ITEM(record, 1, Py_NewRef(stamp));
        PyTuple_SET_ITEM(record, 2, Py_NewRef(value));
        PyTuple_SET_ITEM(record, 3, Py_NewRef(Py_None));
        return record;
    }
    """
    ctypedef object (*Getter)(object, PyObject *)
    Getter getter_of(object)
    object new_record(object, object, object, object)


cdef Getter _getter(str name) except NULL:
    cdef Getter found = getter_of(getattr(Message, name, None))
    if found == NULL:
        raise ImportError(f"Message.{name} is no C method without arguments")
    return found


cdef Getter _topic = _getter("topic"), _partition = _getter("partition"), _error = _getter("error")
cdef Getter _value = _getter("value"), _offset = _getter("offset"), _timestamp = _getter("timestamp")
if Record._fields != ("offset", "timestamp_ms", "value", "tick_ms"):
    raise ImportError("records are made otherwise")


def by_source(list messages not None, wanted):
    """Records of the partitions that are wanted, and errors of any."""
    cdef dict grouped = {}
    cdef list errors = [], records = None
    cdef object message, topic, partition, error, at_topic = "", at_partition = -1
    for message in messages:
        if type(message) is not Message:
            raise TypeError(f"a Message is needed, not {type(message).__name__}")
        topic, partition = _topic(message, NULL), _partition(message, NULL)
        if partition != at_partition or topic != at_topic:
            at_topic, at_partition = topic or "", partition or 0
            source = (at_topic, at_partition)
            records = grouped.setdefault(source, []) if source in wanted else None
        error = _error(message, NULL)
        if error is not None:
            errors.append(((at_topic, at_partition), error))
        elif records is not None:
            records.append(_record(message))
    return {source: records for source, records in grouped.items() if records}, errors


cdef object _record(object message):
    cdef object value = _value(message, NULL), timestamp
    if value is None:
        return to_record(message)
    timestamp = _timestamp(message, NULL)
    return new_record(Record, _offset(message, NULL) or 0, <object>PyTuple_GET_ITEM(timestamp, 1), value)
