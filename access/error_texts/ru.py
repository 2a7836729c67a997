"""Texts of errors in Russian."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "The request could not be served.": "Не удалось выполнить запрос.",
    "The request is not valid.": "Запрос недействителен.",
    "The request is larger than allowed.": "Запрос больше допустимого размера.",
    "You belong to several tenants; say which.": "Вы состоите в нескольких организациях; укажите, в какой именно.",
    "A code of your second factor is needed.": "Требуется код вашего второго фактора.",
    "Too many failed attempts.": "Слишком много неудачных попыток.",
    "The conversation is longer than the context window of the model.": "Разговор длиннее контекстного окна модели.",
    "This is not supported.": "Это не поддерживается.",
    "The model's service does not accept this request.": "Сервис модели не принимает этот запрос.",
    "The request contains content that is not allowed.": "Запрос содержит недопустимые материалы.",
    "A valid API key or token is required.": "Требуется действительный ключ API или токен.",
    "This credential does not allow the request.": "Эти учётные данные не позволяют выполнить запрос.",
    "Requests from this address are not allowed.": "Запросы с этого адреса не разрешены.",
    "This tenant is suspended.": "Эта организация приостановлена.",
    "Requests from this web page are not allowed.": "Запросы с этой веб-страницы не разрешены.",
    "This chat takes no visitors.": "Этот чат не принимает посетителей.",
    "There is nothing at this address.": "По этому адресу ничего нет.",
    "There is no such model.": "Такой модели нет.",
    "There is no such session.": "Такого сеанса нет.",
    "There is no such summary.": "Такой сводки нет.",
    "The tenant has chosen no model for summaries.": "Организация не выбрала модель для сводок.",
    "There is nothing to sum up yet.": "Пока нечего обобщать.",
    "The session was changed while it was summed up.": "Сеанс был изменён во время составления сводки.",
    "The model made no summary.": "Модель не составила сводку.",
    "There is no such turn.": "Такой реплики нет.",
    "This session has no such version, or it is no longer kept.": (
        "У этого сеанса нет такой версии, или она больше не хранится."
    ),
    "There is no such snapshot.": "Такого снимка нет.",
    "There is a session of this id already.": "Сеанс с таким идентификатором уже существует.",
    "There is no such API key.": "Такого ключа API нет.",
    "There is no such member.": "Такого участника нет.",
    "There is no such invitation.": "Такого приглашения нет.",
    "There is no such address.": "Такого адреса нет.",
    "There is no such allowance.": "Такой квоты нет.",
    "There is no such plugin.": "Такого плагина нет.",
    "There is no such tenant.": "Такой организации нет.",
    "This key is revoked.": "Этот ключ отозван.",
    "This key has ended.": "Срок действия этого ключа истёк.",
    "This key may do more than you may give.": "У этого ключа больше прав, чем вы можете выдать.",
    "Your role does not allow changing this member.": "Ваша роль не позволяет изменять этого участника.",
    "This invitation is not open any more.": "Это приглашение больше не действует.",
    "It has been accepted: remove the member instead.": "Оно принято: вместо этого удалите участника.",
    "This model is switched off.": "Эта модель выключена.",
    "This model is not in service yet: try again in a second.": (
        "Эта модель ещё не введена в работу: повторите через секунду."
    ),
    "This model is the platform's: its operators change it.": (
        "Эта модель принадлежит платформе: её меняют только операторы платформы."
    ),
    "Only an operator of the platform may do this.": "Это может сделать только оператор платформы.",
    "This tenant is being taken off the platform.": "Эту организацию удаляют с платформы.",
    "This method is not allowed here.": "Этот метод здесь не разрешён.",
    "The resource was changed meanwhile.": "Тем временем ресурс был изменён.",
    "The turn was cancelled.": "Реплика отменена.",
    "The caller's own deadline has passed.": "Истёк срок, заданный вызывающей стороной.",
    "Too many turns wait for this session.": "Слишком много реплик ожидают этот сеанс.",
    "The previous response was not found.": "Предыдущий ответ не найден.",
    "This idempotency key was used with another request.": "Этот ключ идемпотентности использован с другим запросом.",
    "The first request with this idempotency key is still being answered.": (
        "Первый запрос с этим ключом идемпотентности ещё выполняется."
    ),
    "Too many requests.": "Слишком много запросов.",
    "The budget is used up.": "Бюджет исчерпан.",
    "The model's service failed.": "Сбой сервиса модели.",
    "The model's service did not answer in time.": "Сервис модели не ответил вовремя.",
    "The model's service asks to wait.": "Сервис модели просит подождать.",
    "The service is not available right now.": "Сервис сейчас недоступен.",
    "The turn was cut off before its end.": "Реплика оборвалась до завершения.",
    "The audit journal cannot record this request right now.": "Журнал аудита сейчас не может записать этот запрос.",
    "A store of the service cannot be reached right now.": "Хранилище сервиса сейчас недоступно.",
    "The service is overloaded.": "Сервис перегружен.",
    "A plugin that has to take part in this request did not do its work.": (
        "Плагин, который должен участвовать в этом запросе, не выполнил свою работу."
    ),
}
