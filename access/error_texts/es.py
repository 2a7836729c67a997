"""Texts of errors in Spanish."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "The request could not be served.": "No se ha podido atender la solicitud.",
    "The request is not valid.": "La solicitud no es válida.",
    "The request is larger than allowed.": "La solicitud supera el tamaño permitido.",
    "You belong to several tenants; say which.": "Pertenece a varias organizaciones; indique cuál.",
    "A code of your second factor is needed.": "Se necesita un código de su segundo factor.",
    "Too many failed attempts.": "Demasiados intentos fallidos.",
    "The conversation is longer than the context window of the model.": (
        "La conversación es más larga que la ventana de contexto del modelo."
    ),
    "This is not supported.": "Esto no es compatible.",
    "The model's service does not accept this request.": "El servicio del modelo no acepta esta solicitud.",
    "The request contains content that is not allowed.": "La solicitud contiene contenido que no está permitido.",
    "A valid API key or token is required.": "Se requiere una clave de API o un token válidos.",
    "This credential does not allow the request.": "Esta credencial no permite la solicitud.",
    "Requests from this address are not allowed.": "No se permiten solicitudes desde esta dirección.",
    "This tenant is suspended.": "Esta organización está suspendida.",
    "Requests from this web page are not allowed.": "No se permiten solicitudes desde esta página web.",
    "This chat takes no visitors.": "Este chat no admite visitantes.",
    "There is nothing at this address.": "No hay nada en esta dirección.",
    "There is no such model.": "No existe ese modelo.",
    "There is no such session.": "No existe esa sesión.",
    "There is no such summary.": "No existe ese resumen.",
    "The tenant has chosen no model for summaries.": "La organización no ha elegido ningún modelo para los resúmenes.",
    "There is nothing to sum up yet.": "Todavía no hay nada que resumir.",
    "The session was changed while it was summed up.": "La sesión cambió mientras se resumía.",
    "The model made no summary.": "El modelo no ha hecho ningún resumen.",
    "There is no such turn.": "No existe ese turno.",
    "This session has no such version, or it is no longer kept.": (
        "Esta sesión no tiene esa versión, o ya no se conserva."
    ),
    "There is no such snapshot.": "No existe esa instantánea.",
    "There is a session of this id already.": "Ya existe una sesión con este identificador.",
    "There is no such API key.": "No existe esa clave de API.",
    "There is no such member.": "No existe ese miembro.",
    "There is no such invitation.": "No existe esa invitación.",
    "There is no such address.": "No existe esa dirección.",
    "There is no such allowance.": "No existe esa asignación.",
    "There is no such plugin.": "No existe ese complemento.",
    "There is no such tenant.": "No existe esa organización.",
    "This key is revoked.": "Esta clave está revocada.",
    "This key has ended.": "Esta clave ha caducado.",
    "This key may do more than you may give.": "Esta clave puede hacer más de lo que usted puede conceder.",
    "Your role does not allow changing this member.": "Su rol no permite modificar a este miembro.",
    "This invitation is not open any more.": "Esta invitación ya no está abierta.",
    "It has been accepted: remove the member instead.": "Ya ha sido aceptada: elimine al miembro en su lugar.",
    "This model is switched off.": "Este modelo está desactivado.",
    "This model is not in service yet: try again in a second.": (
        "Este modelo aún no está en servicio: inténtelo de nuevo en un segundo."
    ),
    "This model is the platform's: its operators change it.": (
        "Este modelo es de la plataforma: solo sus operadores pueden modificarlo."
    ),
    "Only an operator of the platform may do this.": "Solo un operador de la plataforma puede hacer esto.",
    "This tenant is being taken off the platform.": "Esta organización se está retirando de la plataforma.",
    "This method is not allowed here.": "Este método no está permitido aquí.",
    "The resource was changed meanwhile.": "El recurso se modificó mientras tanto.",
    "The turn was cancelled.": "El turno se ha cancelado.",
    "The caller's own deadline has passed.": "Ha vencido el plazo fijado por quien llama.",
    "Too many turns wait for this session.": "Demasiados turnos esperan esta sesión.",
    "The previous response was not found.": "No se ha encontrado la respuesta anterior.",
    "This idempotency key was used with another request.": "Esta clave de idempotencia se usó con otra solicitud.",
    "The first request with this idempotency key is still being answered.": (
        "La primera solicitud con esta clave de idempotencia todavía se está atendiendo."
    ),
    "Too many requests.": "Demasiadas solicitudes.",
    "The budget is used up.": "El presupuesto está agotado.",
    "The model's service failed.": "El servicio del modelo ha fallado.",
    "The model's service did not answer in time.": "El servicio del modelo no respondió a tiempo.",
    "The model's service asks to wait.": "El servicio del modelo pide esperar.",
    "The service is not available right now.": "El servicio no está disponible en este momento.",
    "The turn was cut off before its end.": "El turno se interrumpió antes de terminar.",
    "The audit journal cannot record this request right now.": (
        "El registro de auditoría no puede anotar esta solicitud en este momento."
    ),
    "A store of the service cannot be reached right now.": (
        "No se puede acceder a un almacén del servicio en este momento."
    ),
    "The service is overloaded.": "El servicio está sobrecargado.",
    "A plugin that has to take part in this request did not do its work.": (
        "Un complemento que debe participar en esta solicitud no ha hecho su trabajo."
    ),
}
